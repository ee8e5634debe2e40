// An encoder of two networks on one grid of patches: groups of taps of a vision transformer, and
// beside them groups of stages of EfficientNet-Lite. The transformer knows objects and materials,
// the convolutional network fine lines.
//
// Parameters: transformer.<names of vision_transformer.h> and lite.<names of efficientnet_lite.h>.
// The tokens are those of the patches only: the transformer's class token and registers, which the
// other network does not have, end in the encoder. Thread-safety: forward may be called from
// several threads while no parameter changes.
#pragma once

#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <memory>
#include <vector>

#include "model/network/efficientnet_lite.h"
#include "model/network/encoder.h"
#include "model/network/frozen_encoder.h"
#include "model/network/vision_transformer.h"
#include "model/picture/preprocess.h"
#include "model/spec/config.h"

namespace proad::model {

class CombinedEncoderImpl : public EncoderImpl {
 public:
  explicit CombinedEncoderImpl(const EncoderConfig& config);

  // images: RGB in 0..1 [B, 3, H, W] -> groups of [B, H/p * W/p, C], the transformer's first,
  // scaled as ScaleGroups (lite_tokens.h) does
  std::vector<torch::Tensor> forward(const torch::Tensor& images) override;

  VisionTransformer transformer{nullptr};
  EfficientNetLite lite{nullptr};
};
TORCH_MODULE(CombinedEncoder);

// The transformer frozen as FreezeVisionTransformer does, and a copy of the other network.
// `encoder` must be a CombinedEncoder. Thread-safety: as FrozenEncoder.
std::unique_ptr<const FrozenEncoder> FreezeCombinedEncoder(const EncoderImpl& encoder,
                                                           const ModelConfig& config,
                                                           const Preprocessing& preprocessing);

}  // namespace proad::model
