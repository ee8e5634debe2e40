// From the tensors of a file to the network's parameters.
//
// Vision transformers come under three sets of names: the official DINOv2 state dict, Hugging
// Face's Dinov2WithRegisters and timm's vit_*_patch14_reg4_dinov2; patch pyramids under one. Which
// one it is, is seen from the names. Whatever the file says, the result has the official names and
// shapes.
//
// All functions copy out of the file, so it may be closed afterwards. Safe to call from any thread;
// LoadEncoder and LoadTrainable change the network that they are given.
#pragma once

#include <torch/types.h>

#include <map>
#include <string>
#include <string_view>

#include "model/files/error.h"
#include "model/files/tensor_file.h"
#include "model/network/encoder.h"
#include "model/network/pro_ad.h"
#include "model/spec/config.h"
#include "model/spec/encoder_names.h"

namespace proad::model {

// The weights are those of another preset. Field "preset", reason PRESET_MISMATCH.
class PresetMismatch : public InvalidInput {
 public:
  explicit PresetMismatch(const std::string& message)
      : InvalidInput("preset", "PRESET_MISMATCH", message) {}
};

// An encoder as a file holds it, under official names.
struct ImportedEncoder {
  WeightDialect dialect = WeightDialect::kOfficial;
  EncoderConfig config;  // the one asked for, with the position grid that the file has
  std::map<std::string, torch::Tensor>
      tensors;  // on the CPU, in the file's precision: float32, half or bfloat16
};

// Takes the tensors that `config` needs. Blocks after the last tap, the final norm, the mask token
// and classification heads may be in the file and are left out.
//
// Throws PresetMismatch for an encoder of another kind or width, with the preset that fits, and
// InvalidInput (field "encoder", reason ENCODER_UNKNOWN) for names of no known kind. Throws
// CorruptFile for every other tensor that is missing, unknown, of another shape or element type, or
// not finite; the message names each with its shape and the expected one, up to a bound.
ImportedEncoder ImportEncoder(const TensorFile& file, const EncoderConfig& config);

// Copies it into `encoder`, converted to float32. Throws InvalidInput (field "encoder", reason
// ENCODER_MISMATCH) when it was imported for another configuration than the encoder's.
void LoadEncoder(EncoderImpl& encoder, const ImportedEncoder& imported);

// Copies the trained tensors (names of a checkpoint's model.safetensors) into `model`, converted to
// float32. Throws as ImportEncoder does; no tensor may be there beside the model's own. On an error
// the model is unchanged.
void LoadTrainable(ProAd& model, const TensorFile& file);

// What the file with this SHA-256 is known as: a published encoder, or the one that comes with the
// project. Empty when it is none of these, which is worth a warning and no more.
std::string_view KnownEncoder(std::string_view sha256);

}  // namespace proad::model
