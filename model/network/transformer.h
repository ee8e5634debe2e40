// The layers of a vision transformer. The bottleneck and the decoder share its feed-forward
// network.
//
// Submodule names are the checkpoint's key names. Shapes: B batch, N tokens, C width.
// Thread-safety: forward may be called from several threads while no parameter changes.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

namespace proad::model {

// The rows of a batch that one of several processes computes. Each process has the same number of
// rows; process 0 has the first ones.
struct BatchShare {
  int number = 0;  // from 0
  int of = 1;      // processes
};

// FFN(x) = W2 GELU(W1 x + b1) + b2. The hidden layer is four times as wide; GELU is exact (erf).
class FeedForwardImpl : public torch::nn::Module {
 public:
  explicit FeedForwardImpl(int width);

  // With dropout: Drop(W2 Drop(GELU(W1 x + b1)) + b2); in evaluation Drop is the identity. Each row
  // of a share gets the dropout that it would get if one process computed the whole batch.
  // x: [B, N, C] -> [B, N, C]
  torch::Tensor forward(const torch::Tensor& x, double dropout = 0.0, const BatchShare& share = {});

  torch::nn::Linear fc1{nullptr};
  torch::nn::Linear fc2{nullptr};
};
TORCH_MODULE(FeedForward);

// Softmax self-attention. One projection computes q, k and v; its rows are in this order.
class SelfAttentionImpl : public torch::nn::Module {
 public:
  SelfAttentionImpl(int width, int heads);

  // x: [B, N, C] -> [B, N, C]
  torch::Tensor forward(const torch::Tensor& x);

  torch::nn::Linear qkv{nullptr};
  torch::nn::Linear proj{nullptr};

 private:
  int heads_;
};
TORCH_MODULE(SelfAttention);

// x * gamma, with one factor per channel.
class LayerScaleImpl : public torch::nn::Module {
 public:
  explicit LayerScaleImpl(int width);

  torch::Tensor forward(const torch::Tensor& x);

  torch::Tensor gamma;  // [C]
};
TORCH_MODULE(LayerScale);

// One block of the encoder: x += ls1 Attn(norm1 x); x += ls2 FFN(norm2 x).
class EncoderBlockImpl : public torch::nn::Module {
 public:
  EncoderBlockImpl(int width, int heads);

  // x: [B, N, C] -> [B, N, C]
  torch::Tensor forward(torch::Tensor x);

  torch::nn::LayerNorm norm1{nullptr};
  SelfAttention attn{nullptr};
  LayerScale ls1{nullptr};
  torch::nn::LayerNorm norm2{nullptr};
  FeedForward mlp{nullptr};
  LayerScale ls2{nullptr};
};
TORCH_MODULE(EncoderBlock);

}  // namespace proad::model
