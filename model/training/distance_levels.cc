#include "model/training/distance_levels.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "model/network/anomaly_map.h"

namespace proad::model {

std::vector<double> MeasureDistanceLevels(ProAd& model, FeatureCache& features) {
  constexpr int64_t kMaxImages = 256;  // enough for a mean
  // A group that is reconstructed exactly would have no level to divide by.
  constexpr double kLeast = 1e-6;
  const torch::NoGradGuard no_grad;
  const int64_t images = std::min(features.size(), kMaxImages);
  torch::Tensor sum;
  for (int64_t i = 0; i < images; ++i) {
    const auto groups = features.Batch({i * features.size() / images});
    const torch::Tensor distances =
        GroupDistances(model->Reconstruct(groups)).mean({1, 2, 3}).to(at::kCPU, at::kDouble);
    sum = sum.defined() ? sum + distances : distances;
  }
  const torch::Tensor levels = (sum / images).clamp_min(kLeast).contiguous();
  return {levels.const_data_ptr<double>(), levels.const_data_ptr<double>() + levels.numel()};
}

}  // namespace proad::model
