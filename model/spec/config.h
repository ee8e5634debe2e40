// What a Pro-AD network is made of. Stored in the checkpoint; a network is constructed from nothing
// else.
//
// No LibTorch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/picture/preprocess.h"

namespace proad::model {

// How the encoder's position grid is brought to the input's grid (model/README.md, "positions").
enum class PositionResize {
  kOfficial,  // bicubic a = -0.5, antialiased, by output size: DINOv2-R's own setting
  kLineage,   // scale factor (n + 0.1) / grid, a = -0.75, no antialias: what published AD figures
              // used
};

// What kind of network the frozen encoder is.
enum class EncoderKind {
  kVisionTransformer,  // DINOv2 with registers: the paper's
  kPatchPyramid,       // features of SqueezeNet in patches, at several sizes: one tap, no tokens
                       // beside the patches; blocks, registers and positions mean nothing
};

// The frozen encoder.
struct EncoderConfig {
  EncoderKind kind = EncoderKind::kVisionTransformer;
  int width = 768;  // C
  int heads = 12;   // H; the decoder has as many
  int blocks = 10;  // blocks that are run: the last tap + 1
  int patch = 14;   // pixels a side
  int registers = 4;
  int position_grid =
      37;  // stored positions are position_grid x position_grid, plus the class slot
  PositionResize position_resize = PositionResize::kOfficial;
  std::vector<int> taps = {2, 3, 4, 5, 6, 7, 8, 9};  // 0-based blocks whose outputs are used

  // Tokens before those of the patches: class and registers.
  int prefix_tokens() const { return kind == EncoderKind::kVisionTransformer ? 1 + registers : 0; }

  bool operator==(const EncoderConfig&) const = default;
};

// The whole network.
struct ModelConfig {
  std::string preset = "proad-base";
  EncoderConfig encoder;
  int decoder_layers = 8;  // L
  int groups = 2;          // of taps and of decoder outputs; divides both counts
  int input_height = 392;  // pixels, multiples of encoder.patch
  int input_width = 392;
  // The switches of the paper's Table 5; all on is Pro-AD.
  bool adaptive_noisy_bottleneck = true;  // false: Q_0 = F and P_0 = P, no bottleneck
  bool dynamic_decoder = true;            // false: prototypes stay P_0 in every layer
  bool prototype_constraint = true;       // false: Q_{l+1} = R + FFN(n2 R)

  int grid_height() const { return input_height / encoder.patch; }
  int grid_width() const { return input_width / encoder.patch; }
  int prefix_tokens() const { return encoder.prefix_tokens(); }
  int tokens() const { return prefix_tokens() + grid_height() * grid_width(); }  // N

  bool operator==(const ModelConfig&) const = default;
};

// Where nothing else is asked for.
inline constexpr char kDefaultPreset[] = "proad-pyramid";

// "proad-pyramid", "proad-tiny", "proad-small", "proad-base", "proad-large". Throws InvalidInput
// (field "preset") listing them.
ModelConfig PresetConfig(std::string_view preset);
// The preprocessing that goes with a preset: the paper's resize 448 and crop 392 for small, base
// and large, a direct resize to the input for tiny and pyramid.
Preprocessing PresetPreprocessing(std::string_view preset);
const std::vector<std::string>& PresetNames();

// Throws InvalidInput naming the first option that is impossible ("encoder.heads") and what would
// be right.
void Validate(const ModelConfig& config);
// The same for the pair: the crop must be the network's input ("preprocessing.crop_height").
void Validate(const ModelConfig& config, const Preprocessing& preprocessing);

// "vision_transformer" and "patch_pyramid".
const char* NameOf(EncoderKind kind);
// Throws InvalidInput (field "kind") listing them.
EncoderKind ParseEncoderKind(std::string_view name);

// "official" and "lineage".
const char* NameOf(PositionResize resize);
// Throws InvalidInput (field "position_resize") listing them.
PositionResize ParsePositionResize(std::string_view name);

}  // namespace proad::model
