// What an encoder's tensors are called in files of several origins, and which of them the network
// needs.
//
// No LibTorch. Immutable values; safe to read from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/files/tensor_file.h"
#include "model/spec/config.h"

namespace proad::model {

// By whose names a file calls an encoder's tensors.
enum class WeightDialect {
  kOfficial,     // the state dict of DINOv2 with registers
  kHuggingFace,  // Dinov2WithRegistersModel, alone or inside its image classifier
  kTimm,         // vit_*_patch14_reg4_dinov2
  kPyramid,      // this project's patch pyramid, which is no vision transformer
};

// "official", "huggingface", "timm" or "pyramid".
const char* NameOf(WeightDialect dialect);

// A tensor that the network needs, and where a file has it: in parts, to be put one below the
// other, each under one of several names.
struct WantedTensor {
  std::string official;
  std::vector<std::vector<std::string>> parts;
  std::vector<int64_t> part_shape;
};

// The names of one file.
class EncoderNames {
 public:
  // Sees the dialect from the register tokens' name, or that of a pyramid's directions. Throws
  // InvalidInput (field "encoder", reason ENCODER_UNKNOWN) where there are none under a known name.
  static EncoderNames Detect(const TensorFile& file);

  WeightDialect dialect() const { return dialect_; }
  EncoderKind kind() const {
    return dialect_ == WeightDialect::kPyramid ? EncoderKind::kPatchPyramid
                                               : EncoderKind::kVisionTransformer;
  }
  // A tensor whose last dimension is the encoder's width.
  std::string as_wide_as_encoder() const {
    return dialect_ == WeightDialect::kPyramid ? "directions" : cls_token();
  }
  std::string cls_token() const { return InEmbeddings("cls_token", "cls_token"); }
  std::string positions() const { return InEmbeddings("pos_embed", "position_embeddings"); }

  // Whether the positions begin with that of the class token. timm's do not: it adds that one to
  // the token itself.
  bool has_class_position() const { return dialect_ != WeightDialect::kTimm; }

  // All that `config` needs, embeddings first, then block by block.
  std::vector<WantedTensor> Wanted(const EncoderConfig& config) const;

  // Whether a tensor that is not wanted may be in the file: of a block after the last tap, the
  // final norm, the mask token, a classification head.
  bool IsLegalExtra(const std::string& name, const EncoderConfig& config) const;

 private:
  EncoderNames(WeightDialect dialect, std::string prefix);

  bool hugging_face() const { return dialect_ == WeightDialect::kHuggingFace; }
  std::string InEmbeddings(const char* official, const char* in_hugging_face) const;
  std::string Blocks() const;  // what the names of all blocks' tensors begin with

  WeightDialect dialect_;
  std::string prefix_;  // put before the names by a class around the encoder
};

}  // namespace proad::model
