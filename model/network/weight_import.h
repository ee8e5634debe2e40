// Reads the tensors of a file into the network's parameters.
//
// encoder_names.h recognises the naming scheme of the file. The result always has the official
// names and shapes.
//
// All functions copy from the file, so it may be closed afterwards. Safe to call from any thread;
// LoadEncoder and LoadTrainable change the network that is passed to them.
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

// The encoder of a file, under official names.
struct ImportedEncoder {
  WeightDialect dialect = WeightDialect::kOfficial;
  EncoderConfig config;  // as asked for, with the position grid and the registers of the file
  // On the CPU, in the file's precision: float32, half or bfloat16.
  std::map<std::string, torch::Tensor> tensors;
};

// Copies the tensors that `config` needs. Blocks after the last tap, the final norm, the mask token
// and classification heads may be in the file; they are ignored.
//
// Throws PresetMismatch, which names the right preset, for an encoder of another kind or width, and
// InvalidInput (field "encoder", reason ENCODER_UNKNOWN) for an unknown naming scheme. Throws
// CorruptFile for other tensors that are missing, unknown, of another shape or element type, or not
// finite. The message names the first of them with their shapes and the expected ones.
ImportedEncoder ImportEncoder(const TensorFile& file, const EncoderConfig& config);

// Copies the tensors into `encoder`, converted to float32. Throws InvalidInput (field "encoder",
// reason ENCODER_MISMATCH) if they were imported for another configuration.
void LoadEncoder(EncoderImpl& encoder, const ImportedEncoder& imported);

// Copies the trained tensors (names as in model.safetensors of a checkpoint) into `model`,
// converted to float32. Throws as ImportEncoder does; other tensors in the file are an error. After
// an error the model is unchanged.
void LoadTrainable(ProAd& model, const TensorFile& file);

// The name of the encoder file with this SHA-256: a published encoder or one of this project. Empty
// for other files, which are worth a warning only.
std::string_view KnownEncoder(std::string_view sha256);

}  // namespace proad::model
