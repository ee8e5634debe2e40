#include "model/network/patch_pyramid.h"

#include <ATen/ATen.h>

#include <cmath>

#include "model/network/squeezenet_features.h"
#include "model/network/target_space.h"
#include "model/spec/squeezenet_layout.h"

namespace proad::model {
namespace {

struct FrozenPatchPyramid : FrozenEncoder {
  FrozenPatchPyramid(const PatchPyramidImpl& encoder, const Preprocessing& of_pixels)
      : network(encoder.config()), preprocessing(of_pixels) {
    CopyParameters(encoder, *network);
  }

  std::vector<torch::Tensor> Run(const torch::Tensor& pixels) const override {
    return PatchPyramid(network)->forward(Normalize(pixels, preprocessing));
  }

  PatchPyramid network;
  Preprocessing preprocessing;
};

}  // namespace

PatchPyramidImpl::PatchPyramidImpl(const EncoderConfig& config) : EncoderImpl(config) {
  squeezenet = register_module("squeezenet", SqueezeNet());
  directions = register_parameter("directions", torch::randn({1 + kPatchFeatures, config.width}));
}

std::vector<torch::Tensor> PatchPyramidImpl::forward(const torch::Tensor& images) {
  if (!images.is_cpu()) return {Tokens(images)};
  // One image enlarged to twice its side fills the caches of a CPU; a batch would only need more
  // memory.
  std::vector<torch::Tensor> tokens;
  for (const torch::Tensor& image : images.split(1)) tokens.push_back(Tokens(image));
  return {at::cat(tokens)};
}

torch::Tensor PatchPyramidImpl::Tokens(const torch::Tensor& images) {
  const SqueezeNetFeatures of = FeaturesOf(squeezenet, images, config().patch);
  TeacherFeatures kinds = {{of.texture, of.fine, of.parts, of.coarse, of.object}, {}, 0};
  // The mean over the patches depends on light and material more than on a defect.
  for (torch::Tensor& kind : kinds.kinds) kind = kind - kind.mean(1, /*keepdim=*/true) / 2;
  const torch::Tensor tokens = TargetSpace(directions)(kinds);
  const double length = std::sqrt(static_cast<double>(config().width));
  return tokens * (length / tokens.norm(2, {2}, /*keepdim=*/true).clamp_min(1e-12));
}

std::unique_ptr<const FrozenEncoder> FreezePatchPyramid(const EncoderImpl& encoder,
                                                        const ModelConfig& /*config*/,
                                                        const Preprocessing& preprocessing) {
  return std::make_unique<FrozenPatchPyramid>(dynamic_cast<const PatchPyramidImpl&>(encoder),
                                              preprocessing);
}

}  // namespace proad::model
