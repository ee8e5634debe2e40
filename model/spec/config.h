// The configuration of a Pro-AD network. The checkpoint stores it, and a network is constructed
// from it alone.
//
// No LibTorch. Values and pure functions: safe to use from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/picture/preprocess.h"
#include "model/spec/encoder_kind.h"

namespace proad::model {

// How the encoder's position grid is resized to the grid of the input (model/README.md,
// "positions").
enum class PositionResize {
  kOfficial,  // bicubic a = -0.5, antialiased, by output size: the setting of DINOv2-R
  kLineage,   // scale factor (n + 0.1) / grid, a = -0.75, not antialiased: the setting of published
              // figures for anomaly detection
};

// EfficientNet-Lite (efficientnet_lite_layout.h), alone or beside a vision transformer.
struct LiteConfig {
  int variant = 0;               // 0, 1 or 2
  std::vector<int> stages = {};  // 0-based stages whose outputs are used
  int groups = 1;                // of stages; divides their number
  int patch = 16;                // side of a patch in pixels of this network's input, to which the
                                 // image is resized

  int last_stage() const { return stages.back(); }

  bool operator==(const LiteConfig&) const = default;
};

// The frozen encoder. Without blocks (EncoderKindTraits::has_blocks) the fields blocks, registers
// and position_* have no meaning; without stages, lite and group_* have none.
struct EncoderConfig {
  EncoderKind kind = EncoderKind::kVisionTransformer;
  int width = 768;         // C
  int heads = 12;          // H; the decoder has the same number
  int blocks = 10;         // blocks that are run: the last tap + 1
  int patch = 14;          // side of a patch in pixels
  int registers = 4;       // register tokens
  int position_grid = 37;  // stored positions: position_grid^2, plus that of the class token
  PositionResize position_resize = PositionResize::kOfficial;
  std::vector<int> taps = {2, 3, 4, 5, 6, 7, 8, 9};  // 0-based blocks whose outputs are used

  LiteConfig lite = {};
  // One value for each group, those of the vision transformer first.
  std::vector<double> group_levels = {};     // length of a token, in sqrt(C)
  std::vector<double> group_centering = {};  // share of the mean over the patches that is taken
                                             // away from each token before

  // Tokens before those of the patches: class token and registers.
  int prefix_tokens() const {
    const EncoderKindTraits& traits = TraitsOf(kind);
    return traits.has_blocks && !traits.has_stages ? 1 + registers : 0;
  }
  // Number of tensors that the encoder computes: taps, or groups of a kind with stages.
  int outputs() const {
    return static_cast<int>(TraitsOf(kind).has_stages ? group_levels.size() : taps.size());
  }
  // Groups of the taps of a combined encoder.
  int transformer_groups() const { return outputs() - lite.groups; }

  bool operator==(const EncoderConfig&) const = default;
};

// How the cosine distances of a patch in all groups become one.
enum class DistanceCombination {
  kMean,     // the paper's
  kLargest,  // the largest after each is divided by its group's level on good images, times the
             // mean of the levels
};

struct DistanceConfig {
  DistanceCombination combination = DistanceCombination::kMean;
  // Mean distance of each group on good images, measured after training. Empty before, and for
  // kMean; all groups then have the same level.
  std::vector<double> levels = {};

  bool operator==(const DistanceConfig&) const = default;
};

// The whole network.
struct ModelConfig {
  std::string preset = "proad-base";
  EncoderConfig encoder;
  int decoder_layers = 8;  // L
  int groups = 2;          // of encoder and decoder outputs; divides both counts
  int input_height = 392;  // pixels, a multiple of encoder.patch
  int input_width = 392;
  DistanceConfig distance = {};
  // The switches of the paper's Table 5. Pro-AD has all of them on.
  bool adaptive_noisy_bottleneck = true;  // false: Q_0 = F and P_0 = P, no bottleneck
  bool dynamic_decoder = true;            // false: prototypes stay P_0 in every layer
  bool prototype_constraint = true;       // false: Q_{l+1} = R + FFN(n2 R)

  int grid_height() const { return input_height / encoder.patch; }
  int grid_width() const { return input_width / encoder.patch; }
  int prefix_tokens() const { return encoder.prefix_tokens(); }
  int tokens() const { return prefix_tokens() + grid_height() * grid_width(); }  // N

  // Whether trained weights of one network fit the other. The levels of the distance, which
  // training measures, may differ.
  bool SameNetwork(const ModelConfig& other) const;

  bool operator==(const ModelConfig&) const = default;
};

// Throws InvalidInput that names the first wrong option ("encoder.heads") and the allowed values.
void Validate(const ModelConfig& config);
// Also checks that the crop is the network's input ("preprocessing.crop_height").
void Validate(const ModelConfig& config, const Preprocessing& preprocessing);

// "mean" and "largest".
const char* NameOf(DistanceCombination combination);
// Throws InvalidInput (field "combination") that lists the names.
DistanceCombination ParseDistanceCombination(std::string_view name);

// "official" and "lineage".
const char* NameOf(PositionResize resize);
// Throws InvalidInput (field "position_resize") that lists the names.
PositionResize ParsePositionResize(std::string_view name);

}  // namespace proad::model
