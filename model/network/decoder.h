// The dynamic bidirectional decoder with the prototype-based constraint (paper, sections 3.3 and
// 3.4, eq. 3 to 9).
//
// Shapes: B batch, N tokens, C width, H heads, d = C / H.
// Thread-safety: forward may be called from several threads while no parameter changes.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "model/network/transformer.h"

namespace proad::model {

// Added to every denominator of the attention. A token that matches no other gives 0, not NaN.
inline constexpr double kAttentionEps = 1e-6;
inline constexpr double kDecoderNormEps = 1e-8;

// Linear cross attention, LCA(a, b) (eq. 3, 6 and 7): per head, with phi(u) = ELU(u) + 1,
//   S = sum_j phi(k_j) v_j^T,  z = sum_j phi(k_j),  out_i = phi(q_i) S / (phi(q_i) . z + eps)
// with q from a, and k and v from b. S and z accumulate in float32.
class LinearCrossAttentionImpl : public torch::nn::Module {
 public:
  LinearCrossAttentionImpl(int width, int heads);

  // a: [B, N, C], b: [B, M, C] -> [B, N, C]. A batch of one is broadcast to the other's batch.
  torch::Tensor forward(const torch::Tensor& a, const torch::Tensor& b);

  torch::nn::Linear q{nullptr};
  torch::nn::Linear k{nullptr};
  torch::nn::Linear v{nullptr};
  torch::nn::Linear proj{nullptr};

 private:
  int heads_;
};
TORCH_MODULE(LinearCrossAttention);

// The two token sequences of the decoder.
struct DecoderState {
  torch::Tensor prototypes;  // P_l [B or 1, N, C]
  torch::Tensor image;       // Q_l [B, N, C]
};

// One layer. Keys: decoder.<l>.{norm1, norm2, attn.{q, k, v, proj}, ffn.{fc1, fc2}}.{weight, bias}.
class DecoderLayerImpl : public torch::nn::Module {
 public:
  struct Options {
    int width = 0;
    int heads = 0;
    bool dynamic = true;               // false: P_{l+1} = P_l, without eq. 4 and 5
    bool prototype_constraint = true;  // false: Q_{l+1} = R + FFN(n2 R) instead of eq. 9
  };
  explicit DecoderLayerImpl(const Options& options);

  // {P_l, Q_l} -> {P_{l+1}, Q_{l+1}}; the layer's output f_l is Q_{l+1}.
  DecoderState forward(const DecoderState& state);

  torch::nn::LayerNorm norm1{nullptr};
  LinearCrossAttention attn{nullptr};
  torch::nn::LayerNorm norm2{nullptr};
  FeedForward ffn{nullptr};

 private:
  Options options_;
};
TORCH_MODULE(DecoderLayer);

}  // namespace proad::model
