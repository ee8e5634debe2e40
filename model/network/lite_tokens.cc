#include "model/network/lite_tokens.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "model/network/pro_ad.h"

namespace proad::model {
namespace {

constexpr double kShortest = 1e-12;  // a token of zeros stays one

torch::Tensor Unit(const torch::Tensor& tokens) {
  return tokens / tokens.norm(2, {2}, /*keepdim=*/true).clamp_min(kShortest);
}

// [B, D, H, W] -> [B, h w, D]
torch::Tensor OnGrid(const torch::Tensor& map, int64_t rows, int64_t columns) {
  const bool fine = map.size(2) >= rows && map.size(3) >= columns;
  const torch::Tensor resampled =
      fine ? at::adaptive_avg_pool2d(map, {rows, columns})
           : at::upsample_bilinear2d(map, {rows, columns}, /*align_corners=*/false);
  return resampled.flatten(2).transpose(1, 2);
}

}  // namespace

torch::Tensor CosineProjection(int64_t rows, int64_t columns) {
  const int64_t size = std::max(rows, columns);
  const auto positions = [](int64_t count) { return at::arange(count, at::kDouble) + 0.5; };
  const torch::Tensor angles = at::outer(positions(rows), positions(columns)) *
                               (std::numbers::pi / static_cast<double>(size));
  // With more rows than columns, the usual length of a projected token is kept.
  return (angles.cos() * std::sqrt(2.0 / static_cast<double>(columns))).to(at::kFloat);
}

std::vector<torch::Tensor> LiteGroups(const EfficientNetLite& network, const EncoderConfig& config,
                                      const torch::Tensor& images) {
  const LiteConfig& lite = config.lite;
  const int64_t rows = images.size(2) / config.patch, columns = images.size(3) / config.patch;
  torch::Tensor input = images;
  if (lite.patch != config.patch) {
    input = at::_upsample_bilinear2d_aa(images, {rows * lite.patch, columns * lite.patch},
                                        /*align_corners=*/false);
  }
  const std::vector<torch::Tensor> maps = EfficientNetLite(network)->forward(input);
  int64_t width = 0;
  for (const int stage : lite.stages) width += maps[static_cast<size_t>(stage)].size(1);
  const torch::Tensor projection =
      CosineProjection(width, config.width).to(images.device(), images.scalar_type());
  std::vector<torch::Tensor> tokens;
  int64_t first = 0;
  for (const int stage : lite.stages) {
    const torch::Tensor& map = maps[static_cast<size_t>(stage)];
    tokens.push_back(
        at::matmul(Unit(OnGrid(map, rows, columns)), projection.narrow(0, first, map.size(1))));
    first += map.size(1);
  }
  return GroupMeans(tokens, lite.groups);
}

std::vector<torch::Tensor> ScaleGroups(const EncoderConfig& config,
                                       const std::vector<torch::Tensor>& groups) {
  const double root = std::sqrt(static_cast<double>(config.width));
  std::vector<torch::Tensor> scaled;
  for (size_t g = 0; g < groups.size(); ++g) {
    torch::Tensor tokens = groups[g];
    const double centering = config.group_centering[g];
    if (centering != 0) tokens = tokens - tokens.mean(1, /*keepdim=*/true) * centering;
    scaled.push_back(Unit(tokens) * (config.group_levels[g] * root));
  }
  return scaled;
}

}  // namespace proad::model
