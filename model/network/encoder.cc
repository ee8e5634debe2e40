#include "model/network/encoder.h"

#include <ATen/ATen.h>

#include <array>

namespace proad::model {

torch::Tensor Normalize(const torch::Tensor& pixels, const Preprocessing& preprocessing) {
  TORCH_CHECK(pixels.scalar_type() == torch::kUInt8 && pixels.dim() == 4 && pixels.size(3) == 3,
              "pixels must be uint8 [B, H, W, 3], got ", pixels.scalar_type(), " ", pixels.sizes());
  const auto options = torch::TensorOptions().dtype(torch::kFloat32);
  const torch::Tensor mean = torch::tensor(at::ArrayRef<float>(preprocessing.mean), options);
  const torch::Tensor std = torch::tensor(at::ArrayRef<float>(preprocessing.std), options);
  const torch::Tensor channels_last =
      (pixels.to(torch::kFloat32) / 255 - mean.to(pixels.device())) / std.to(pixels.device());
  return channels_last.permute({0, 3, 1, 2}).contiguous();
}

void CopyParameters(const torch::nn::Module& from, torch::nn::Module& to) {
  const torch::NoGradGuard no_grad;
  const auto source = from.named_parameters();
  to.to(source.begin()->value().device());
  for (auto& parameter : to.named_parameters()) {
    parameter.value().copy_(source[parameter.key()]);
  }
}

torch::Tensor Standardize(const torch::Tensor& images, const Preprocessing& preprocessing) {
  const auto channels = [&images](const std::array<float, 3>& values) {
    return torch::tensor(at::ArrayRef<float>(values), images.options()).view({1, 3, 1, 1});
  };
  return (images - channels(preprocessing.mean)) / channels(preprocessing.std);
}

}  // namespace proad::model
