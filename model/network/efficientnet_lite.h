// EfficientNet-Lite0, 1 or 2 without its classifier (Tan and Le, "EfficientNet", 2019; the Lite
// variants: Google, 2020): a convolutional network whose middle stages describe fine structures.
//
// Batch norms are folded into the convolutions when weights are imported. Parameters:
// stem.{weight, bias} and blocks.<i>.{expand, depthwise, project}.{weight, bias}; block 0 has no
// expand. Thread-safety: forward may be called from several threads while no parameter changes.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <vector>

#include "model/spec/efficientnet_lite_layout.h"

namespace proad::model {

// An inverted bottleneck (efficientnet_lite_layout.h).
class LiteBlockImpl : public torch::nn::Module {
 public:
  explicit LiteBlockImpl(const LiteBlockLayout& layout);

  // x: [B, inputs, H, W] -> [B, outputs, ceil(H / stride), ceil(W / stride)]
  torch::Tensor forward(const torch::Tensor& x);

  const LiteBlockLayout& layout() const { return layout_; }

  torch::nn::Conv2d expand{nullptr};  // empty if expanded == inputs
  torch::nn::Conv2d depthwise{nullptr};
  torch::nn::Conv2d project{nullptr};

 private:
  LiteBlockLayout layout_;
};
TORCH_MODULE(LiteBlock);

class EfficientNetLiteImpl : public torch::nn::Module {
 public:
  // The first `stages` stages, with random weights.
  EfficientNetLiteImpl(int variant, int stages);

  // The outputs of all stages. Strides: 2, 4, 8, 16, 16, 32, 32.
  // images: RGB in 0..1, float [B, 3, H, W] -> maps [B, D, ceil(H / stride), ceil(W / stride)]
  std::vector<torch::Tensor> forward(const torch::Tensor& images);

  torch::nn::Conv2d stem{nullptr};
  torch::nn::ModuleList blocks{nullptr};  // of LiteBlock
};
TORCH_MODULE(EfficientNetLite);

}  // namespace proad::model
