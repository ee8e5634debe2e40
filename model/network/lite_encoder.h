// An encoder of EfficientNet-Lite alone: tokens of its middle stages, for CPUs.
//
// Parameters: lite.<names of efficientnet_lite.h>. The tokens are those of the patches only.
// Thread-safety: forward may be called from several threads while no parameter changes.
#pragma once

#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <memory>
#include <vector>

#include "model/network/efficientnet_lite.h"
#include "model/network/encoder.h"
#include "model/network/frozen_encoder.h"
#include "model/picture/preprocess.h"
#include "model/spec/config.h"

namespace proad::model {

class LiteEncoderImpl : public EncoderImpl {
 public:
  explicit LiteEncoderImpl(const EncoderConfig& config);

  // images: RGB in 0..1 [B, 3, H, W] -> groups of [B, H/p * W/p, C], scaled as ScaleGroups does
  std::vector<torch::Tensor> forward(const torch::Tensor& images) override;

  EfficientNetLite lite{nullptr};
};
TORCH_MODULE(LiteEncoder);

// A copy of the network. `encoder` must be a LiteEncoder. Thread-safety: as FrozenEncoder.
std::unique_ptr<const FrozenEncoder> FreezeLiteEncoder(const EncoderImpl& encoder,
                                                       const ModelConfig& config,
                                                       const Preprocessing& preprocessing);

}  // namespace proad::model
