// The frozen form of a VisionTransformer: normalisation, LayerNorms and LayerScales are folded into
// the linear layers, and the position grid is resized once.
//
// Thread-safety: as FrozenEncoder.
#pragma once

#include <memory>

#include "model/network/encoder.h"
#include "model/network/frozen_encoder.h"
#include "model/picture/preprocess.h"
#include "model/spec/config.h"

namespace proad::model {

// Copies the weights. `encoder` must be a VisionTransformer.
std::unique_ptr<const FrozenEncoder> FreezeVisionTransformer(const EncoderImpl& encoder,
                                                             const ModelConfig& config,
                                                             const Preprocessing& preprocessing);

}  // namespace proad::model
