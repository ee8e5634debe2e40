// The table of the kinds of frozen encoders.
//
// A new kind is one value and one row here, one row in model/network/encoder_kinds.cc (how it is
// made and frozen), one row in model/spec/encoder_names.cc (how its files are recognised), and one
// row in model/spec/preset.cc for each preset that uses it.
//
// No LibTorch. Constants; safe to read from any thread.
#pragma once

#include <span>
#include <string_view>

namespace proad::model {

enum class EncoderKind {
  kVisionTransformer,  // DINOv2 with registers: the encoder of the paper
  kPatchPyramid,       // SqueezeNet features of patches at several sizes
  kEfficientNetLite,   // stages of EfficientNet-Lite
  kCombined,           // a vision transformer, and beside it EfficientNet-Lite
};

// One row of the table. A kind without blocks has one tap. Only a kind with blocks and without
// stages has tokens other than those of the patches.
struct EncoderKindTraits {
  EncoderKind kind;
  const char* name;   // in manifests
  const char* words;  // in messages
  bool has_blocks;    // of a vision transformer, and with them positions
  bool has_stages;    // of EfficientNet-Lite; its groups are scaled (EncoderConfig::group_levels)
  int min_grid;       // least number of patches on a side of the input
};

// All rows.
std::span<const EncoderKindTraits> EncoderKinds();
const EncoderKindTraits& TraitsOf(EncoderKind kind);

// The name in manifests.
const char* NameOf(EncoderKind kind);
// Throws InvalidInput (field "kind") that lists the names.
EncoderKind ParseEncoderKind(std::string_view name);

}  // namespace proad::model
