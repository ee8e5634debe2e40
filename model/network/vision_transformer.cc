#include "model/network/vision_transformer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace proad::model {
namespace {

constexpr double kEmbeddingStd = 0.02;  // of tokens and positions before weights are loaded

}  // namespace

torch::Tensor InterpolatePositions(const torch::Tensor& positions, int height, int width,
                                   PositionResize how) {
  const int64_t stored = positions.size(1) - 1;
  const int64_t grid = std::lround(std::sqrt(static_cast<double>(stored)));
  TORCH_CHECK(positions.dim() == 3 && stored == grid * grid,
              "positions must be [1, 1 + G*G, C] for a square grid G x G, got ", positions.sizes());
  if (height == grid && width == grid) return positions;

  const torch::Tensor patches = positions.narrow(1, 1, stored)
                                    .to(torch::kFloat32)
                                    .unflatten(1, {grid, grid})
                                    .permute({0, 3, 1, 2})
                                    .contiguous();  // [1, C, G, G]
  torch::Tensor resized;
  if (how == PositionResize::kOfficial) {
    resized = at::_upsample_bicubic2d_aa(patches, {height, width}, /*align_corners=*/false);
  } else {
    // Source coordinates come from this factor with its offset, not from the ratio of the sizes.
    const double factors[] = {(height + 0.1) / static_cast<double>(grid),
                              (width + 0.1) / static_cast<double>(grid)};
    resized = at::upsample_bicubic2d(patches, /*output_size=*/at::OptionalIntArrayRef(),
                                     /*align_corners=*/false, at::ArrayRef<double>(factors));
    TORCH_CHECK(resized.size(2) == height && resized.size(3) == width, "positions resized to ",
                resized.sizes(), ", expected a grid of ", height, " x ", width);
  }
  resized = resized.permute({0, 2, 3, 1}).flatten(1, 2).to(positions.scalar_type());
  return at::cat({positions.narrow(1, 0, 1), resized}, 1);
}

PatchEmbedImpl::PatchEmbedImpl(int patch, int width) {
  proj = register_module(
      "proj", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, width, patch).stride(patch)));
}

torch::Tensor PatchEmbedImpl::forward(const torch::Tensor& images) {
  return proj(images).flatten(2).transpose(1, 2);
}

VisionTransformerImpl::VisionTransformerImpl(const EncoderConfig& config) : EncoderImpl(config) {
  const int64_t width = config.width;
  const int64_t grid = config.position_grid;
  cls_token = register_parameter("cls_token", torch::randn({1, 1, width}) * kEmbeddingStd);
  pos_embed =
      register_parameter("pos_embed", torch::randn({1, 1 + grid * grid, width}) * kEmbeddingStd);
  const torch::Tensor registers = torch::randn({1, config.registers, width}) * kEmbeddingStd;
  // Without registers, files have no such tensor.
  register_tokens = config.registers > 0 ? register_parameter("register_tokens", registers)
                                         : register_buffer("register_tokens", registers);
  patch_embed = register_module("patch_embed", PatchEmbed(config.patch, config.width));
  blocks = register_module("blocks", torch::nn::ModuleList());
  for (int i = 0; i < config.blocks; ++i) {
    blocks->push_back(EncoderBlock(config.width, config.heads));
  }
}

torch::Tensor VisionTransformerImpl::Embed(const torch::Tensor& images) {
  const int patch = config().patch;
  TORCH_CHECK(images.dim() == 4 && images.size(1) == 3 && images.is_floating_point(),
              "images must be normalised floats [B, 3, H, W], got ", images.scalar_type(), " ",
              images.sizes());
  TORCH_CHECK(images.size(2) % patch == 0 && images.size(3) % patch == 0,
              "the sides of an image must be multiples of the patch, ", patch, ", got ",
              images.size(2), " x ", images.size(3));
  const int64_t batch = images.size(0);
  const torch::Tensor positions =
      InterpolatePositions(pos_embed, static_cast<int>(images.size(2) / patch),
                           static_cast<int>(images.size(3) / patch), config().position_resize);
  const torch::Tensor tokens =
      at::cat({cls_token.expand({batch, -1, -1}), patch_embed(images)}, 1) + positions;
  // Register tokens are between class token and patches and have no position.
  return at::cat({tokens.narrow(1, 0, 1), register_tokens.expand({batch, -1, -1}),
                  tokens.narrow(1, 1, tokens.size(1) - 1)},
                 1);
}

std::vector<torch::Tensor> VisionTransformerImpl::forward(const torch::Tensor& images) {
  std::vector<torch::Tensor> taps;
  torch::Tensor x = Embed(images);
  for (int i = 0; i < config().blocks; ++i) {
    x = blocks->at<EncoderBlockImpl>(i).forward(x);
    if (std::find(config().taps.begin(), config().taps.end(), i) != config().taps.end()) {
      taps.push_back(x);
    }
  }
  return taps;
}

}  // namespace proad::model
