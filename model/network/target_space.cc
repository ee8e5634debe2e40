#include "model/network/target_space.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace proad::model {
namespace {

// Longest token, in root mean square lengths; a longer one would dominate a squared error.
constexpr double kLongest = 4;

}  // namespace

TargetSpace::TargetSpace(const TeacherFeatures& features, int width) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> scaled;
  std::vector<torch::Tensor> scales;
  for (size_t i = 0; i < features.kinds.size(); ++i) {
    const torch::Tensor patches = features.kinds[i].flatten(0, 1).to(at::kDouble);
    const torch::Tensor centred = patches - patches.mean(0);
    const torch::Tensor scale =
        features.weights[i] / (centred.square().sum(1).mean().sqrt() + 1e-12);
    scaled.push_back(patches * scale);
    scales.push_back(scale.expand({patches.size(1)}));
  }
  const torch::Tensor patches = at::cat(scaled, 1);  // [B * patches, D]
  const torch::Tensor mean = patches.mean(0);
  const torch::Tensor centred = patches - mean;
  const torch::Tensor covariance = at::matmul(centred.t(), centred) / centred.size(0);
  auto [variances, directions] = at::linalg_eigh(covariance);
  const int64_t kept = std::min<int64_t>(width - 1, variances.size(0));
  variances = variances.flip(0).narrow(0, 0, kept).clamp_min(0);
  directions = directions.flip(1).narrow(1, 0, kept);
  kept_ = (variances.sum() / covariance.trace()).item<double>();

  const torch::Tensor projection =
      at::constant_pad_nd(directions / variances.mean().sqrt(), {0, width - kept});
  offset_ = at::matmul(mean.unsqueeze(0), projection);
  offset_[0][width - 1] = -features.anchor * std::sqrt(static_cast<double>(kept));
  offset_ = offset_.to(at::kFloat);
  projection_ = (at::cat(scales).unsqueeze(1) * projection).to(at::kFloat).contiguous();
}

TargetSpace::TargetSpace(const torch::Tensor& stored)
    : projection_(stored.narrow(0, 1, stored.size(0) - 1)), offset_(stored.narrow(0, 0, 1)) {}

torch::Tensor TargetSpace::operator()(const TeacherFeatures& features) const {
  const at::AutoGradMode no_grad(false);
  const torch::Tensor targets = at::matmul(at::cat(features.kinds, 2), projection_) - offset_;
  const int64_t varying = dimensions() - 1;
  const double longest = kLongest * std::sqrt(static_cast<double>(varying));
  const torch::Tensor varied = targets.narrow(2, 0, varying);
  const torch::Tensor length = varied.norm(2, {2}, /*keepdim=*/true);
  return at::cat({varied * (longest / length).clamp_max(1), targets.narrow(2, varying, 1)}, 2);
}

double TargetSpace::anchor() const { return -offset_[0][dimensions() - 1].item<double>(); }

torch::Tensor TargetSpace::Stored() const { return at::cat({offset_, projection_}); }

}  // namespace proad::model
