// The adaptive noisy bottleneck (paper, section 3.2, eq. 1 and 2): one pair of linear layers for
// image tokens, with dropout, and for prototypes, without dropout.
//
// Thread-safety: Image and Prototypes may be called from several threads while no parameter and no
// dropout rate changes.
#pragma once

#include <torch/types.h>

#include "model/network/transformer.h"

namespace proad::model {

// Keys: bottleneck.{fc1, fc2}.{weight, bias}.
class BottleneckImpl : public FeedForwardImpl {
 public:
  explicit BottleneckImpl(int width) : FeedForwardImpl(width) {}

  // Eq. 1: Q_0 = Drop(W2 Drop(GELU(W1 F + b1)) + b2). No dropout in evaluation.
  // fused: F [B, N, C] -> [B, N, C]
  torch::Tensor Image(const torch::Tensor& fused) { return forward(fused, dropout_, share_); }

  // Eq. 2: P_0, with the same weights and without dropout. prototypes: P [1, N, C] -> [1, N, C]
  torch::Tensor Prototypes(const torch::Tensor& prototypes) { return forward(prototypes, 0.0); }

  // Dropout rate of eq. 1 in training, 0 <= p < 1, and the rows of the batch that this process has.
  void set_dropout(double p, const BatchShare& share = {});
  double dropout() const { return dropout_; }

 private:
  double dropout_ = 0.0;
  BatchShare share_;
};
TORCH_MODULE(Bottleneck);

}  // namespace proad::model
