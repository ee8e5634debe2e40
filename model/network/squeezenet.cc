#include "model/network/squeezenet.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>
#include <vector>

#include "model/spec/squeezenet_layout.h"

namespace proad::model {
namespace {

// Rows of the pooled map that Stem computes at a time. For an image 784 pixels wide the output of
// conv1 is then 1.7 MB instead of 40 MB.
constexpr int64_t kStripRows = 8;

torch::nn::Conv2d Conv(int64_t inputs, int64_t outputs, int kernel, int stride = 1,
                       int padding = 0) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(inputs, outputs, kernel).stride(stride).padding(padding));
}

// Uses oneDNN on a CPU. LibTorch by itself does not use it for 1x1 kernels.
torch::Tensor Convolve(const torch::nn::Conv2d& conv, const torch::Tensor& x, int64_t stride = 1,
                       int64_t padding = 0) {
  if (!x.is_cpu() || !at::hasMKLDNN() || !at::globalContext().userEnabledMkldnn()) {
    return at::conv2d(x, conv->weight, conv->bias, stride, padding);
  }
  const std::vector<int64_t> strides(2, stride), paddings(2, padding), dilations(2, 1);
  return at::mkldnn_convolution(x, conv->weight, conv->bias, paddings, strides, dilations,
                                /*groups=*/1);
}

torch::Tensor Pool(const torch::Tensor& x) {
  return at::max_pool2d(x, /*kernel_size=*/3, /*stride=*/2, /*padding=*/0, /*dilation=*/1,
                        /*ceil_mode=*/true);
}

// BGR in 0..255 minus ImageNet's mean, the input of the network's training.
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
  const torch::Tensor squeezed = Convolve(squeeze1x1, x).relu_();
  return at::cat({Convolve(expand1x1, squeezed), Convolve(expand3x3, squeezed, 1, 1)}, 1).relu_();
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

torch::Tensor SqueezeNetImpl::Stem(const torch::Tensor& images) {
  // In strips of rows on a CPU: the complete output of conv1 would be the largest tensor by far and
  // pass through memory; a strip stays in the caches.
  const int64_t convolved = (images.size(2) - 3) / 2 + 1;
  const int64_t rows =
      (convolved - 2) / 2 + 1;  // of the pooled map; the last may have fewer inputs
  const int64_t strip = images.is_cpu() ? kStripRows : rows;
  std::vector<torch::Tensor> strips;
  for (int64_t row = 0; row < rows; row += strip) {
    // Row r of the map is the maximum of the rows 2 r .. 2 r + 2 of conv1; row c of conv1 depends
    // on the rows 2 c .. 2 c + 2 of the image.
    const int64_t end = std::min(2 * (row + strip) + 1, convolved);
    const torch::Tensor input = images.narrow(2, 4 * row, 2 * (end - 2 * row) + 1);
    strips.push_back(Pool(Convolve(conv1, input, 2)).relu_());  // relu and maximum commute
  }
  return at::cat(strips, 2);
}

std::vector<torch::Tensor> SqueezeNetImpl::forward(const torch::Tensor& images, int last) {
  std::vector<torch::Tensor> maps;
  torch::Tensor x = Stem(ToCaffe(images));
  for (int number = kFirstFire; number <= last; ++number) {
    x = fires[static_cast<size_t>(number - kFirstFire)](x);
    maps.push_back(x);
    // Pooling halves the sides before fire4 and fire6.
    if (number < last && (number == 3 || number == 5)) x = Pool(x);
  }
  return maps;
}

}  // namespace proad::model
