// An encoder without a vision transformer: what SqueezeNet knows of each patch at several sizes,
// less half of the picture's own mean, brought to the directions in which photographs vary most.
//
// Parameters: squeezenet.<names of squeezenet.h>, and directions [1 + D, C] as
// TargetSpace::Stored() gives them, the anchor among them. One tap; its tokens are the patches
// alone. tests/bench/pyramid_encoder.py makes such a file. Thread-safety: forward may be called
// from several threads while no parameter changes.
#pragma once

#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <vector>

#include "model/network/encoder.h"
#include "model/network/squeezenet.h"

namespace proad::model {

class PatchPyramidImpl : public EncoderImpl {
 public:
  explicit PatchPyramidImpl(const EncoderConfig& config);

  // images: RGB in 0..1 [B, 3, H, W] -> one tap [B, H/p * W/p, C], each token of length sqrt(C)
  std::vector<torch::Tensor> forward(const torch::Tensor& images) override;

  SqueezeNet squeezenet{nullptr};
  torch::Tensor directions;

 private:
  torch::Tensor Tokens(const torch::Tensor& images);
};
TORCH_MODULE(PatchPyramid);

}  // namespace proad::model
