// Makes and freezes encoders of every kind. One row of the table in encoder_kinds.cc for each kind
// of model/spec/encoder_kind.h.
//
// Safe to call from any thread.
#pragma once

#include <memory>

#include "model/network/encoder.h"
#include "model/network/frozen_encoder.h"
#include "model/picture/preprocess.h"
#include "model/spec/config.h"

namespace proad::model {

// An encoder of the kind that `config` names, with random weights.
Encoder NewEncoder(const EncoderConfig& config);

// The frozen form of `encoder`, with its own copy of the weights on the same device. `config` is
// the network's, and its encoder part is that of `encoder`.
std::unique_ptr<const FrozenEncoder> FreezeEncoder(const EncoderImpl& encoder,
                                                   const ModelConfig& config,
                                                   const Preprocessing& preprocessing);

}  // namespace proad::model
