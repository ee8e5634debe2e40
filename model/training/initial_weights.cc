#include "model/training/initial_weights.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

namespace proad::model {
namespace {

constexpr int64_t kMaxImages = 256;  // enough for the principal directions
constexpr double kDeviation = 0.4;   // standard deviation of weights, times sqrt(C)
constexpr double kCycles = 2;  // standard deviation of the prototypes' cycles per side of the grid

struct Directions {
  torch::Tensor mean;   // m [C]
  torch::Tensor basis;  // U^T [K, C], orthonormal
  double scale = 1;     // root mean square of F's entries
};

// The principal directions of F, the mean of the groups of taps.
Directions PrincipalDirections(FeatureCache& features, int64_t count) {
  const int64_t images = std::min(features.size(), kMaxImages);
  torch::Tensor sum, products;
  double squares = 0;
  int64_t tokens = 0;
  for (int64_t i = 0; i < images; ++i) {
    const auto groups = features.Batch({i * features.size() / images});
    const torch::Tensor f = at::stack(groups).mean(0)[0].to(at::kCPU, at::kDouble);  // [N, C]
    const torch::Tensor outer = at::matmul(f.t(), f);
    sum = sum.defined() ? sum + f.sum(0) : f.sum(0);
    products = products.defined() ? products + outer : outer;
    squares += f.square().sum().item<double>();
    tokens += f.size(0);
  }
  const torch::Tensor mean = sum / tokens;
  const torch::Tensor covariance = products / tokens - at::outer(mean, mean);
  const torch::Tensor directions = std::get<1>(at::linalg_eigh(covariance));  // variances ascend
  const int64_t width = mean.size(0);
  return {mean.to(at::kFloat), directions.narrow(1, width - count, count).t().to(at::kFloat),
          std::sqrt(squares / static_cast<double>(tokens * width))};
}

// Scales the linear weights from kInitialDeviation to kDeviation / sqrt(C).
void ScaleWeights(ProAd& model) {
  const double factor = kDeviation / std::sqrt(model->config().encoder.width) / kInitialDeviation;
  for (auto& item : model->TrainableParameters()) {
    const bool weight = item.value().dim() == 2 && item.key() != "prototypes";
    if (weight) item.value().mul_(factor);
  }
}

// Sets the bottleneck to m + U U^T (F - m): two blocks of hidden units with opposite signs.
void SetProjection(BottleneckImpl& bottleneck, const Directions& directions) {
  const int64_t count = directions.basis.size(0);
  const auto& u = directions.basis;  // [K, C]
  const torch::Tensor shift = at::mv(u, directions.mean);
  const auto set = [&](int64_t first, double sign) {
    bottleneck.fc1->weight.narrow(0, first, count).copy_(sign * u);
    bottleneck.fc1->bias.narrow(0, first, count).copy_(-sign * shift);
    bottleneck.fc2->weight.narrow(1, first, count).copy_(sign * u.t());
  };
  set(0, 1);
  set(count, -1);
  bottleneck.fc2->bias.copy_(directions.mean);
}

// Sets the prototypes of the patches from their positions; those of class and register tokens are
// random combinations of the directions.
void SetPrototypes(ProAd& model, const Directions& directions) {
  const ModelConfig& config = model->config();
  const int64_t count = directions.basis.size(0), pairs = count / 2;
  const int64_t rows = config.grid_height(), columns = config.grid_width();
  const torch::Tensor position = at::stack(
      {at::arange(rows * columns).floor_divide(columns).to(at::kFloat) / static_cast<double>(rows),
       at::arange(rows * columns).remainder(columns).to(at::kFloat) / static_cast<double>(columns)},
      1);  // [h w, 2], in 0..1
  const torch::Tensor frequencies = at::randn({pairs, 2}) * kCycles;
  const torch::Tensor phase = 2 * std::numbers::pi * at::matmul(position, frequencies.t());
  const torch::Tensor of_patches = at::cat({phase.sin(), phase.cos()}, 1) * std::sqrt(2.0);
  const torch::Tensor code =
      at::cat({at::randn({config.prefix_tokens(), 2 * pairs}), of_patches});  // [N, 2 pairs]
  const double scale = directions.scale * std::sqrt(static_cast<double>(config.encoder.width) /
                                                    static_cast<double>(2 * pairs));
  model->prototypes.copy_(at::matmul(code, directions.basis.narrow(0, 0, 2 * pairs)) * scale);
}

}  // namespace

void StartFromPrincipalDirections(ProAd& model, FeatureCache& features) {
  const torch::NoGradGuard no_grad;
  const int64_t width = model->config().encoder.width;
  const Directions directions = PrincipalDirections(features, std::max<int64_t>(width / 4, 2));
  ScaleWeights(model);
  if (!model->bottleneck.is_empty()) SetProjection(*model->bottleneck, directions);
  SetPrototypes(model, directions);
}

}  // namespace proad::model
