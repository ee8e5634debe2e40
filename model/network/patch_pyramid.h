// An encoder without a vision transformer: SqueezeNet features of each patch at several sizes,
// minus half of their mean over the image, projected to the directions in which photographs vary
// most.
//
// Parameters: squeezenet.<names of squeezenet.h>, and directions [1 + D, C] as
// TargetSpace::Stored() returns them, the anchor included. One tap; its tokens are those of the
// patches. tests/bench/pyramid_encoder.py makes such a file. Thread-safety: forward may be called
// from several threads while no parameter changes.
#pragma once

#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <memory>
#include <vector>

#include "model/network/encoder.h"
#include "model/network/frozen_encoder.h"
#include "model/network/squeezenet.h"
#include "model/picture/preprocess.h"
#include "model/spec/config.h"

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

// A copy of the network; it has no layers to fold. `encoder` must be a PatchPyramid. Thread-safety:
// as FrozenEncoder.
std::unique_ptr<const FrozenEncoder> FreezePatchPyramid(const EncoderImpl& encoder,
                                                        const ModelConfig& config,
                                                        const Preprocessing& preprocessing);

}  // namespace proad::model
