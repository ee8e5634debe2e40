#include "model/network/frozen_vision_transformer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "model/network/frozen_layers.h"
#include "model/network/packed_linear.h"
#include "model/network/vision_transformer.h"

namespace proad::model {
namespace {

using Activation = PackedLinear::Activation;

// The patch projection for pixels of 0..255 in the order [row, column, channel], with the
// normalisation folded in.
Affine PatchProjection(const torch::nn::Conv2d& conv, const Preprocessing& preprocessing) {
  const torch::Tensor weight = conv->weight.to(torch::kFloat64).permute({0, 2, 3, 1});
  const auto options = torch::TensorOptions().dtype(torch::kFloat32);
  const auto channels = [&](const std::array<float, 3>& values) {
    return torch::tensor(at::ArrayRef<float>(values), options)
        .to(weight.device())
        .to(torch::kFloat64);
  };
  const torch::Tensor scaled = weight / channels(preprocessing.std);
  return {(scaled / 255).flatten(1),
          conv->bias.to(torch::kFloat64) - (scaled * channels(preprocessing.mean)).sum({1, 2, 3})};
}

struct FrozenBlock {
  explicit FrozenBlock(const EncoderBlockImpl& block)
      : eps(block.norm1->options.eps()),
        qkv(AfterNorm(block.norm1, AffineOf(block.attn->qkv))),
        proj(Scaled(AffineOf(block.attn->proj), block.ls1->gamma)),
        fc1(AfterNorm(block.norm2, AffineOf(block.mlp->fc1)), Activation::kGelu),
        fc2(Scaled(AffineOf(block.mlp->fc2), block.ls2->gamma)) {}

  // x: [B, N, C], changed in place.
  void Run(torch::Tensor& x, int heads) const {
    const auto split =
        qkv(Whiten(x, eps)).unflatten(2, {3, heads, -1}).permute({2, 0, 3, 1, 4}).unbind(0);
    const torch::Tensor out = at::scaled_dot_product_attention(split[0], split[1], split[2]);
    x.add_(proj(out.transpose(1, 2).flatten(2)));
    x.add_(fc2(fc1(Whiten(x, eps))));
  }

  double eps;
  PackedLinear qkv;   // norm1 folded in
  PackedLinear proj;  // ls1 folded in
  PackedLinear fc1;   // norm2 folded in
  PackedLinear fc2;   // ls2 folded in
};

struct FrozenVisionTransformer : FrozenEncoder {
  FrozenVisionTransformer(const VisionTransformerImpl& encoder, const ModelConfig& of,
                          const Preprocessing& preprocessing)
      : config(of), patch_projection(PatchProjection(encoder.patch_embed->proj, preprocessing)) {
    const torch::Tensor all =
        InterpolatePositions(encoder.pos_embed, config.grid_height(), config.grid_width(),
                             config.encoder.position_resize);
    prefix = at::cat({encoder.cls_token + all.narrow(1, 0, 1), encoder.register_tokens}, 1);
    positions = all.narrow(1, 1, all.size(1) - 1).contiguous();
    for (int i = 0; i < config.encoder.blocks; ++i) {
      blocks.emplace_back(encoder.blocks->at<EncoderBlockImpl>(i));
    }
  }

  // pixels: uint8 [B, H, W, 3] -> [B, N, C]
  torch::Tensor Embed(const torch::Tensor& pixels) const {
    const int64_t patch = config.encoder.patch;
    const int64_t batch = pixels.size(0), rows = config.grid_height(),
                  columns = config.grid_width();
    // One copy brings each patch's pixels together and makes them floats.
    const torch::Tensor patches = at::empty({batch, rows, columns, patch, patch * 3},
                                            pixels.options().dtype(torch::kFloat32));
    patches.copy_(pixels.view({batch, rows, patch, columns, patch * 3}).permute({0, 1, 3, 2, 4}));
    const torch::Tensor embedded =
        patch_projection(patches.view({batch, rows * columns, patch * patch * 3}));
    return at::cat({prefix.expand({batch, -1, -1}), embedded + positions}, 1);
  }

  std::vector<torch::Tensor> Run(const torch::Tensor& pixels) const override {
    const std::vector<int>& taps = config.encoder.taps;
    GroupSums groups(static_cast<int>(taps.size()), config.groups);
    torch::Tensor x = Embed(pixels);
    int tap = 0;
    for (int i = 0; i < config.encoder.blocks; ++i) {
      blocks[i].Run(x, config.encoder.heads);
      if (std::find(taps.begin(), taps.end(), i) != taps.end()) groups.Add(tap++, x);
    }
    return std::move(groups).Means();
  }

  ModelConfig config;
  PackedLinear patch_projection;  // normalisation folded in
  torch::Tensor prefix;           // class token at its position, registers: [1, 1 + R, C]
  torch::Tensor positions;        // of the patches [1, h*w, C]
  std::vector<FrozenBlock> blocks;
};

}  // namespace

std::unique_ptr<const FrozenEncoder> FreezeVisionTransformer(const EncoderImpl& encoder,
                                                             const ModelConfig& config,
                                                             const Preprocessing& preprocessing) {
  return std::make_unique<FrozenVisionTransformer>(
      dynamic_cast<const VisionTransformerImpl&>(encoder), config, preprocessing);
}

}  // namespace proad::model
