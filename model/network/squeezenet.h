// SqueezeNet 1.1 without its classifier (Iandola et al., "SqueezeNet", 2016; release 1.1): a small
// convolutional network, used in PatchPyramid and as a teacher.
//
// Parameter names are those of the authors' release: conv1.{weight, bias} and
// fire<i>.{squeeze1x1, expand1x1, expand3x3}.{weight, bias} for i = 2 .. 9. Thread-safety: forward
// may be called from several threads while no parameter changes.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <vector>

namespace proad::model {

// A fire module: relu(1x1 convolution) to few channels, then relu of a 1x1 and a 3x3 convolution,
// concatenated.
class FireImpl : public torch::nn::Module {
 public:
  FireImpl(int64_t inputs, int64_t squeezed, int64_t expanded);

  // x: [B, inputs, H, W] -> [B, 2 * expanded, H, W]
  torch::Tensor forward(const torch::Tensor& x);

  torch::nn::Conv2d squeeze1x1{nullptr};
  torch::nn::Conv2d expand1x1{nullptr};
  torch::nn::Conv2d expand3x3{nullptr};
};
TORCH_MODULE(Fire);

class SqueezeNetImpl : public torch::nn::Module {
 public:
  SqueezeNetImpl();

  // The outputs of the fire modules 2 .. `last`. Strides: 4 for fire2 and fire3, 8 for fire4 and
  // fire5, 16 for the others.
  // images: RGB in 0..1, float [B, 3, H, W] -> maps [B, D, h, w], that of fire i at index i - 2
  std::vector<torch::Tensor> forward(const torch::Tensor& images, int last = 9);

  torch::nn::Conv2d conv1{nullptr};
  std::vector<Fire> fires;  // fire2 first

 private:
  // max(relu(conv1)). images: BGR minus the mean [B, 3, H, W] -> [B, 64, h, w], stride 4
  torch::Tensor Stem(const torch::Tensor& images);
};
TORCH_MODULE(SqueezeNet);

}  // namespace proad::model
