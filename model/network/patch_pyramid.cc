#include "model/network/patch_pyramid.h"

#include <ATen/ATen.h>

#include <cmath>

#include "model/network/squeezenet_features.h"
#include "model/network/target_space.h"
#include "model/spec/squeezenet_layout.h"

namespace proad::model {

PatchPyramidImpl::PatchPyramidImpl(const EncoderConfig& config) : EncoderImpl(config) {
  squeezenet = register_module("squeezenet", SqueezeNet());
  directions = register_parameter("directions", torch::randn({1 + kPatchFeatures, config.width}));
}

std::vector<torch::Tensor> PatchPyramidImpl::forward(const torch::Tensor& images) {
  if (!images.is_cpu()) return {Tokens(images)};
  // One picture enlarged to twice its side fills a CPU's caches; a batch of them would only take
  // more memory.
  std::vector<torch::Tensor> tokens;
  for (const torch::Tensor& image : images.split(1)) tokens.push_back(Tokens(image));
  return {at::cat(tokens)};
}

torch::Tensor PatchPyramidImpl::Tokens(const torch::Tensor& images) {
  const SqueezeNetFeatures of = FeaturesOf(squeezenet, images, config().patch);
  TeacherFeatures kinds = {{of.texture, of.fine, of.parts, of.coarse, of.object}, {}, 0};
  // What all patches share is the picture's light and material more than a defect.
  for (torch::Tensor& kind : kinds.kinds) kind = kind - kind.mean(1, /*keepdim=*/true) / 2;
  const torch::Tensor tokens = TargetSpace(directions)(kinds);
  const double length = std::sqrt(static_cast<double>(config().width));
  return tokens * (length / tokens.norm(2, {2}, /*keepdim=*/true).clamp_min(1e-12));
}

}  // namespace proad::model
