#include "model/network/efficientnet_lite.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace proad::model {
namespace {

torch::nn::Conv2d Conv(int64_t inputs, int64_t outputs, int kernel, int stride, int64_t groups) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(inputs, outputs, kernel).stride(stride).groups(groups));
}

// Uses oneDNN on a CPU. LibTorch by itself does not use it for 1x1 kernels.
torch::Tensor Convolve(const torch::nn::Conv2d& conv, const torch::Tensor& x, int64_t padding) {
  const int64_t stride = conv->options.stride()->at(0), groups = conv->options.groups();
  if (!x.is_cpu() || !at::hasMKLDNN() || !at::globalContext().userEnabledMkldnn()) {
    return at::conv2d(x, conv->weight, conv->bias, stride, padding, /*dilation=*/1, groups);
  }
  const std::vector<int64_t> strides(2, stride), paddings(2, padding), dilations(2, 1);
  return at::mkldnn_convolution(x, conv->weight, conv->bias, paddings, strides, dilations, groups);
}

// TensorFlow's "SAME": as many outputs as the stride allows. If the padding is odd, the lower and
// the right side get one row more.
torch::Tensor ConvolveSame(const torch::nn::Conv2d& conv, const torch::Tensor& x) {
  const int64_t stride = conv->options.stride()->at(0);
  const int64_t kernel = conv->options.kernel_size()->at(0);
  const auto padding = [&](int64_t size) {
    return std::max<int64_t>(((size + stride - 1) / stride - 1) * stride + kernel - size, 0);
  };
  const int64_t rows = padding(x.size(2)), columns = padding(x.size(3));
  if (rows == columns && rows % 2 == 0) return Convolve(conv, x, rows / 2);
  const torch::Tensor padded =
      at::constant_pad_nd(x, {columns / 2, columns - columns / 2, rows / 2, rows - rows / 2});
  return Convolve(conv, padded, 0);
}

torch::Tensor Relu6(torch::Tensor x) { return at::clamp_(x, 0, 6); }

// The range of the network's training: (x - 127) / 128 for x in 0..255.
torch::Tensor ToTensorFlow(const torch::Tensor& images) {
  return (images * (255.0 / 128)).sub_(127.0 / 128);
}

}  // namespace

LiteBlockImpl::LiteBlockImpl(const LiteBlockLayout& layout) : layout_(layout) {
  if (layout.expanded != layout.inputs) {
    expand = register_module("expand", Conv(layout.inputs, layout.expanded, 1, 1, 1));
  }
  depthwise = register_module("depthwise", Conv(layout.expanded, layout.expanded, layout.kernel,
                                                layout.stride, /*groups=*/layout.expanded));
  project = register_module("project", Conv(layout.expanded, layout.outputs, 1, 1, 1));
}

torch::Tensor LiteBlockImpl::forward(const torch::Tensor& x) {
  torch::Tensor y = x;
  if (!expand.is_empty()) y = Relu6(Convolve(expand, y, 0));
  y = Relu6(ConvolveSame(depthwise, y));
  y = Convolve(project, y, 0);
  // The first block of a stage has another width or stride, except where a stage keeps both.
  return layout_.stride == 1 && layout_.inputs == layout_.outputs ? y.add_(x) : y;
}

EfficientNetLiteImpl::EfficientNetLiteImpl(int variant, int stages) {
  stem = register_module("stem", Conv(3, kLiteStemWidth, 3, 2, 1));
  blocks = register_module("blocks", torch::nn::ModuleList());
  for (const LiteBlockLayout& layout : LiteBlocks(variant, stages)) {
    blocks->push_back(LiteBlock(layout));
  }
}

std::vector<torch::Tensor> EfficientNetLiteImpl::forward(const torch::Tensor& images) {
  std::vector<torch::Tensor> maps;
  const torch::Tensor input =
      ToTensorFlow(images).contiguous(at::MemoryFormat::ChannelsLast);  // fastest for depthwise
  torch::Tensor x = Relu6(ConvolveSame(stem, input));
  for (size_t i = 0; i < blocks->size(); ++i) {
    auto& block = blocks->at<LiteBlockImpl>(i);
    x = block.forward(x);
    const bool last = i + 1 == blocks->size() ||
                      blocks->at<LiteBlockImpl>(i + 1).layout().stage != block.layout().stage;
    if (last) maps.push_back(x);
  }
  return maps;
}

}  // namespace proad::model
