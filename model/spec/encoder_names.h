// The names of an encoder's tensors in files of several origins, and the tensors that the network
// needs. One row of the table of dialects for each origin.
//
// No LibTorch. Immutable values; safe to read from any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/files/tensor_file.h"
#include "model/spec/config.h"
#include "model/spec/wanted_tensor.h"

namespace proad::model {

// The naming scheme of a file.
enum class WeightDialect {
  kOfficial,     // the state dict of DINOv2, and timm's vit_*_patch14_dinov2 (without registers)
  kHuggingFace,  // Dinov2Model or Dinov2WithRegistersModel, alone or inside an image classifier
  kTimm,         // vit_*_patch14_reg4_dinov2
  kPyramid,      // this project's patch pyramid
  kLite,         // the published state dicts of EfficientNet-Lite in PyTorch
  kFoldedLite,   // this project's files of EfficientNet-Lite, with batch norms folded
  kCombined,     // this project's files of a combined encoder
};

// "official", "huggingface", ..: the names in manifests.
const char* NameOf(WeightDialect dialect);
std::vector<std::string> WeightDialectNames();

struct DialectTraits;  // a row of the table

// The names in one file.
class EncoderNames {
 public:
  // Recognises the dialect by a tensor that only its files have, with or without the prefixes of
  // training programs (teacher., module., backbone., ..). Throws InvalidInput (field
  // "encoder", reason ENCODER_UNKNOWN) for a file of no known dialect or with several encoders; names
  // an unknown prefix.
  static EncoderNames Detect(const TensorFile& file);

  WeightDialect dialect() const;
  EncoderKind kind() const;
  // A tensor whose last dimension is the encoder's width.
  std::string width_tensor() const;
  std::string positions() const;
  // The register tokens, which a file need not have; empty for kinds without.
  std::string registers() const;

  // Whether the positions begin with that of the class token. timm's do not: it has added that
  // position to the class token.
  bool has_class_position() const;

  // Whether the convolutions have batch norms, to be folded (batch_norm_folding.h).
  bool has_batch_norms() const;

  // All tensors that `config` needs, embeddings first, then block by block.
  std::vector<WantedTensor> Wanted(const EncoderConfig& config) const;

  // Whether a tensor that is not wanted may be in the file: one of a block after the last tap, the
  // final norm, the mask token, a classification head.
  bool IsLegalExtra(const std::string& name, const EncoderConfig& config) const;

 private:
  EncoderNames(const DialectTraits& traits, std::string prefix);

  const DialectTraits* traits_;
  std::string prefix_;  // a class around the encoder puts it before the names
};

}  // namespace proad::model
