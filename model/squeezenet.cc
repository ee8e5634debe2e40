#include "model/squeezenet.h"

#include <ATen/ATen.h>

#include <string>

#include "model/squeezenet_layout.h"

namespace proad::model {
namespace {

torch::nn::Conv2d Conv(int64_t inputs, int64_t outputs, int kernel, int stride = 1,
                       int padding = 0) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(inputs, outputs, kernel).stride(stride).padding(padding));
}

torch::Tensor Pool(const torch::Tensor& x) {
  return at::max_pool2d(x, /*kernel_size=*/3, /*stride=*/2, /*padding=*/0, /*dilation=*/1,
                        /*ceil_mode=*/true);
}

// BGR in 0..255 without the mean of ImageNet, as the network was trained.
torch::Tensor ToCaffe(const torch::Tensor& images) {
  const torch::Tensor mean =
      torch::tensor({104.0f, 117.0f, 123.0f}, images.options()).view({1, 3, 1, 1});
  return images.flip(1) * 255 - mean;
}

}  // namespace

FireImpl::FireImpl(int64_t inputs, int64_t squeezed, int64_t expanded) {
  squeeze1x1 = register_module("squeeze1x1", Conv(inputs, squeezed, 1));
  expand1x1 = register_module("expand1x1", Conv(squeezed, expanded, 1));
  expand3x3 = register_module("expand3x3", Conv(squeezed, expanded, 3, 1, 1));
}

torch::Tensor FireImpl::forward(const torch::Tensor& x) {
  const torch::Tensor squeezed = squeeze1x1(x).relu_();
  return at::cat({expand1x1(squeezed), expand3x3(squeezed)}, 1).relu_();
}

SqueezeNetImpl::SqueezeNetImpl() {
  conv1 = register_module("conv1", Conv(3, kConv1Width, 3, 2));
  int64_t inputs = kConv1Width;
  for (const FireWidths& widths : kFires) {
    const std::string name = "fire" + std::to_string(kFirstFire + fires.size());
    fires.push_back(register_module(name, Fire(inputs, widths.squeezed, widths.expanded)));
    inputs = 2 * widths.expanded;
  }
}

std::vector<torch::Tensor> SqueezeNetImpl::forward(const torch::Tensor& images, int last) {
  std::vector<torch::Tensor> maps = {conv1(ToCaffe(images)).relu_()};
  for (size_t i = 0; static_cast<int>(i) <= last - kFirstFire; ++i) {
    // The sides are halved before fire2, fire4 and fire6.
    const bool halved = i == 0 || i == 2 || i == 4;
    maps.push_back(fires[i](halved ? Pool(maps.back()) : maps.back()));
  }
  return maps;
}

}  // namespace proad::model
