#include "model/network/anomaly_map.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace proad::model {
namespace {

constexpr double kCosineEps = 1e-8;
constexpr double kGaussianSigma = 4.0;
constexpr int kGaussianRadius = 2;

// The matrix of a bilinear resize along one axis. -> float64 [to, from]
torch::Tensor BilinearMatrix(int64_t from, int64_t to, bool align_corners) {
  torch::Tensor matrix = torch::zeros({to, from}, torch::kFloat64);
  auto weights = matrix.accessor<double, 2>();
  const double ratio = align_corners ? (to > 1 ? static_cast<double>(from - 1) / (to - 1) : 0.0)
                                     : static_cast<double>(from) / to;
  for (int64_t i = 0; i < to; ++i) {
    const double source = align_corners ? i * ratio : std::max((i + 0.5) * ratio - 0.5, 0.0);
    const int64_t low = std::min(static_cast<int64_t>(source), from - 1);
    const int64_t high = std::min(low + 1, from - 1);
    weights[i][low] += 1.0 - (source - low);
    weights[i][high] += source - low;
  }
  return matrix;
}

// The matrix of the Gaussian along one axis, with zero padding. -> float64 [size, size]
torch::Tensor GaussianMatrix(int64_t size) {
  std::array<double, 2 * kGaussianRadius + 1> kernel;
  double sum = 0.0;
  for (int64_t offset = -kGaussianRadius; offset <= kGaussianRadius; ++offset) {
    kernel[offset + kGaussianRadius] =
        std::exp(-0.5 * offset * offset / (kGaussianSigma * kGaussianSigma));
    sum += kernel[offset + kGaussianRadius];
  }
  torch::Tensor matrix = torch::zeros({size, size}, torch::kFloat64);
  auto weights = matrix.accessor<double, 2>();
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t offset = -kGaussianRadius; offset <= kGaussianRadius; ++offset) {
      const int64_t j = i + offset;
      if (j >= 0 && j < size) weights[i][j] = kernel[offset + kGaussianRadius] / sum;
    }
  }
  return matrix;
}

// All three steps along one axis, A^T. -> float32 [kMapSide, patches]
torch::Tensor AxisMatrix(int64_t patches, int64_t pixels) {
  return GaussianMatrix(kMapSide)
      .matmul(BilinearMatrix(pixels, kMapSide, /*align_corners=*/false))
      .matmul(BilinearMatrix(patches, pixels, /*align_corners=*/true))
      .to(torch::kFloat32);
}

}  // namespace

torch::Tensor GroupDistances(const Reconstruction& reconstruction) {
  const auto& encoder = reconstruction.encoder_groups;
  const auto& decoder = reconstruction.decoder_groups;
  TORCH_CHECK(!encoder.empty() && encoder.size() == decoder.size(), "a reconstruction has ",
              encoder.size(), " encoder groups and ", decoder.size(),
              " decoder groups; expected the same number of both, at least one");
  std::vector<torch::Tensor> distances;
  for (size_t g = 0; g < encoder.size(); ++g) {
    TORCH_CHECK(encoder[g].dim() == 4 && encoder[g].sizes() == decoder[g].sizes(), "group ", g,
                " must be [B, h, w, C] on both sides, got ", encoder[g].sizes(), " and ",
                decoder[g].sizes());
    distances.push_back(1 - at::cosine_similarity(encoder[g].to(torch::kFloat32),
                                                  decoder[g].to(torch::kFloat32),
                                                  /*dim=*/3, kCosineEps));
  }
  return at::stack(distances);
}

torch::Tensor PatchDistances(const Reconstruction& reconstruction, const DistanceConfig& distance) {
  const torch::Tensor of_groups = GroupDistances(reconstruction);
  if (distance.combination == DistanceCombination::kMean) {
    torch::Tensor sum = of_groups[0];
    for (int64_t g = 1; g < of_groups.size(0); ++g) sum = sum + of_groups[g];
    return sum / static_cast<double>(of_groups.size(0));
  }
  if (distance.levels.empty()) return of_groups.amax(0);
  const torch::Tensor levels = torch::tensor(distance.levels, of_groups.options());
  return (of_groups * (levels.mean() / levels).view({-1, 1, 1, 1})).amax(0);
}

AnomalyMap::AnomalyMap(const ModelConfig& config, torch::Device device)
    : rows_(AxisMatrix(config.grid_height(), config.input_height).to(device)),
      columns_(AxisMatrix(config.grid_width(), config.input_width).t().contiguous().to(device)),
      distance_(config.distance) {}

torch::Tensor AnomalyMap::Smooth(const torch::Tensor& distances) const {
  TORCH_CHECK(distances.dim() == 3 && distances.size(1) == rows_.size(1) &&
                  distances.size(2) == columns_.size(0),
              "distances must be [B, ", rows_.size(1), ", ", columns_.size(0), "], got ",
              distances.sizes());
  return at::matmul(at::matmul(rows_, distances), columns_);
}

torch::Tensor ImageScore(const torch::Tensor& maps) {
  TORCH_CHECK(maps.dim() == 3 && maps.size(1) == kMapSide && maps.size(2) == kMapSide,
              "maps must be [B, ", kMapSide, ", ", kMapSide, "], got ", maps.sizes());
  const auto largest =
      at::topk(maps.flatten(1), kScorePixels, /*dim=*/1, /*largest=*/true, /*sorted=*/false);
  return std::get<0>(largest).mean(1);
}

}  // namespace proad::model
