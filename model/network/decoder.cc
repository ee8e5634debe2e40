#include "model/network/decoder.h"

#include <ATen/ATen.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

namespace proad::model {
namespace {

torch::nn::LayerNorm DecoderNorm(int width) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({width}).eps(kDecoderNormEps));
}

// [B, N, C] -> [B, H, N, d]
torch::Tensor SplitHeads(const torch::Tensor& x, int heads) {
  return x.unflatten(2, {heads, -1}).transpose(1, 2);
}

torch::Tensor Phi(const torch::Tensor& u) { return at::elu(u) + 1; }

// The attention of each head (eq. 3). It sums hundreds of non-negative terms, so it computes in
// float32 for any precision of the weights. q: [B, H, N, d], k, v: [B, H, M, d] -> [B, H, N, d]
torch::Tensor Attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const torch::Tensor phi_q = Phi(q).to(torch::kFloat32);
  const torch::Tensor phi_k = Phi(k).to(torch::kFloat32);
  const torch::Tensor s = at::matmul(phi_k.transpose(2, 3), v.to(torch::kFloat32));  // [B, H, d, d]
  const torch::Tensor z = phi_k.sum(2).unsqueeze(3);                                 // [B, H, d, 1]
  return at::matmul(phi_q, s) / (at::matmul(phi_q, z) + kAttentionEps);
}

}  // namespace

LinearCrossAttentionImpl::LinearCrossAttentionImpl(int width, int heads) : heads_(heads) {
  TORCH_CHECK(heads > 0 && width % heads == 0, "the width (", width,
              ") must be a multiple of the number of heads (", heads, ")");
  q = register_module("q", torch::nn::Linear(width, width));
  k = register_module("k", torch::nn::Linear(width, width));
  v = register_module("v", torch::nn::Linear(width, width));
  proj = register_module("proj", torch::nn::Linear(width, width));
}

torch::Tensor LinearCrossAttentionImpl::forward(const torch::Tensor& a, const torch::Tensor& b) {
  const torch::Tensor out =
      Attend(SplitHeads(q(a), heads_), SplitHeads(k(b), heads_), SplitHeads(v(b), heads_));
  return proj(out.transpose(1, 2).flatten(2).to(a.scalar_type()));
}

DecoderLayerImpl::DecoderLayerImpl(const Options& options) : options_(options) {
  norm1 = register_module("norm1", DecoderNorm(options.width));
  attn = register_module("attn", LinearCrossAttention(options.width, options.heads));
  norm2 = register_module("norm2", DecoderNorm(options.width));
  ffn = register_module("ffn", FeedForward(options.width));
}

DecoderState DecoderLayerImpl::forward(const DecoderState& state) {
  torch::Tensor p = state.prototypes;
  const torch::Tensor q = state.image;
  if (options_.dynamic) {
    p = p + attn(norm1(p), norm1(q));  // eq. 4: prototypes attend to the image
    p = p + ffn(norm2(p));             // eq. 5
  }
  const torch::Tensor r = q + attn(norm1(q), norm1(p));  // eq. 8: the image attends to prototypes
  // eq. 9: the added term depends on prototypes alone, so a defect cannot pass through it.
  return {p, r + ffn(norm2(options_.prototype_constraint ? p : r))};
}

}  // namespace proad::model
