#include "model/network/transformer.h"

#include <ATen/ATen.h>

#include <vector>

namespace proad::model {
namespace {

constexpr double kEncoderNormEps = 1e-6;
constexpr int kHiddenRatio = 4;

torch::nn::LayerNorm EncoderNorm(int width) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({width}).eps(kEncoderNormEps));
}

// Every process draws the random numbers of the whole batch and uses those of its rows, so that all
// generators have the same state. The draws cost little compared with the matrix products.
torch::Tensor Drop(const torch::Tensor& x, double p, bool training, const BatchShare& share) {
  if (share.of == 1 || !training || p == 0) return at::dropout(x, p, training);
  std::vector<int64_t> whole = x.sizes().vec();
  whole[0] *= share.of;
  const torch::Tensor kept = at::dropout(at::ones(whole, x.options()), p, training);
  return x * kept.narrow(0, x.size(0) * share.number, x.size(0));
}

}  // namespace

FeedForwardImpl::FeedForwardImpl(int width) {
  fc1 = register_module("fc1", torch::nn::Linear(width, kHiddenRatio * width));
  fc2 = register_module("fc2", torch::nn::Linear(kHiddenRatio * width, width));
}

torch::Tensor FeedForwardImpl::forward(const torch::Tensor& x, double dropout,
                                       const BatchShare& share) {
  const torch::Tensor hidden = Drop(at::gelu(fc1(x)), dropout, is_training(), share);
  return Drop(fc2(hidden), dropout, is_training(), share);
}

SelfAttentionImpl::SelfAttentionImpl(int width, int heads) : heads_(heads) {
  TORCH_CHECK(heads > 0 && width % heads == 0, "the width (", width,
              ") must be a multiple of the number of heads (", heads, ")");
  qkv = register_module("qkv", torch::nn::Linear(width, 3 * width));
  proj = register_module("proj", torch::nn::Linear(width, width));
}

torch::Tensor SelfAttentionImpl::forward(const torch::Tensor& x) {
  // [B, N, 3C] -> 3 of [B, H, N, d]
  const auto heads = qkv(x).unflatten(2, {3, heads_, -1}).permute({2, 0, 3, 1, 4}).unbind(0);
  const torch::Tensor out = at::scaled_dot_product_attention(heads[0], heads[1], heads[2]);
  return proj(out.transpose(1, 2).flatten(2));
}

LayerScaleImpl::LayerScaleImpl(int width) {
  gamma = register_parameter("gamma", torch::ones({width}));
}

torch::Tensor LayerScaleImpl::forward(const torch::Tensor& x) { return x * gamma; }

EncoderBlockImpl::EncoderBlockImpl(int width, int heads) {
  norm1 = register_module("norm1", EncoderNorm(width));
  attn = register_module("attn", SelfAttention(width, heads));
  ls1 = register_module("ls1", LayerScale(width));
  norm2 = register_module("norm2", EncoderNorm(width));
  mlp = register_module("mlp", FeedForward(width));
  ls2 = register_module("ls2", LayerScale(width));
}

torch::Tensor EncoderBlockImpl::forward(torch::Tensor x) {
  x = x + ls1(attn(norm1(x)));
  x = x + ls2(mlp(norm2(x)));
  return x;
}

}  // namespace proad::model
