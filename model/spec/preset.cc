#include "model/spec/preset.h"

#include <algorithm>

#include "model/files/error.h"
#include "model/files/text.h"

namespace proad::model {
namespace {

// The input size and the preprocessing of a square input.
struct Input {
  int side;              // pixels
  int resize;            // equal to the side: no crop
  bool imagenet = true;  // normalise with ImageNet's mean and deviation; false: leave 0..1
};

Preset MakePreset(const char* name, const EncoderConfig& encoder, int decoder_layers, int groups,
                  const Input& input, MapRange map_range = {}) {
  Preset preset;
  preset.config = {.preset = name,
                   .encoder = encoder,
                   .decoder_layers = decoder_layers,
                   .groups = groups,
                   .input_height = input.side,
                   .input_width = input.side};
  Preprocessing& preprocessing = preset.preprocessing;
  preprocessing.resize_height = preprocessing.resize_width = input.resize;
  preprocessing.crop_height = preprocessing.crop_width = input.side;
  if (!input.imagenet) {
    preprocessing.mean = {0, 0, 0};
    preprocessing.std = {1, 1, 1};
  }
  preset.map_range = map_range;
  return preset;
}

std::vector<Preset> MakePresets() {
  // Of EncoderConfig, whose defaults are DINOv2-R ViT-B/14.
  const EncoderConfig pyramid = {.kind = EncoderKind::kPatchPyramid,
                                 .width = 192,
                                 .heads = 3,
                                 .blocks = 1,
                                 .registers = 0,
                                 .position_grid = 1,
                                 .taps = {0}};
  const LiteConfig stages = {.variant = 2, .stages = {2, 3, 4}};
  // All channels of the three stages fit into the width.
  const EncoderConfig lite = {.kind = EncoderKind::kEfficientNetLite,
                              .width = 256,
                              .heads = 4,
                              .blocks = 1,
                              .patch = 16,
                              .registers = 0,
                              .position_grid = 1,
                              .taps = {0},
                              .lite = stages,
                              .group_levels = {1},
                              .group_centering = {0}};
  // DINOv2 ViT-S/14 without registers, and the same stages.
  const EncoderConfig combined = {.kind = EncoderKind::kCombined,
                                  .width = 384,
                                  .heads = 6,
                                  .registers = 0,
                                  .lite = stages,
                                  .group_levels = {1, 1, 1},
                                  .group_centering = {0, 0, 0}};
  const EncoderConfig tiny = {.width = 192, .heads = 3, .position_grid = 28};
  // With and without registers: their number is read from the encoder's file.
  const EncoderConfig small = {.width = 384, .heads = 6};
  const EncoderConfig base;
  const EncoderConfig large = {
      .width = 1024, .heads = 16, .blocks = 19, .taps = {4, 6, 8, 10, 12, 14, 16, 18}};
  const Input paper = {.side = 392, .resize = 448};
  return {
      // The encoder takes 0..1 and subtracts SqueezeNet's own mean. Map range with the shipped
      // weights: half of all pixels of good images are below 0.016, and 0.065 is twice the median
      // of the largest value of a good image.
      MakePreset("proad-pyramid", pyramid, 4, 1, {.side = 392, .resize = 392, .imagenet = false},
                 {0.015f, 0.065f}),
      // Map range with the shipped weights on the test images of factory4: half of all pixels are
      // below 0.036. The largest value of a good image is 0.079 in the median and 0.12 at the 95th
      // percentile; that of a visible defect is at least 0.15.
      MakePreset("proad-tiny", tiny, 4, 2, {.side = 280, .resize = 280}, {0.04f, 0.16f}),
      // These encoders take 0..1 and normalise by themselves.
      MakePreset("proad-lite", lite, 4, 1, {.side = 448, .resize = 448, .imagenet = false}),
      MakePreset("proad-combined", combined, 3, 3, {.side = 392, .resize = 392, .imagenet = false}),
      MakePreset("proad-small", small, 8, 2, paper),
      MakePreset("proad-base", base, 8, 2, paper),
      MakePreset("proad-large", large, 8, 2, paper),
  };
}

const Preset* Find(std::string_view name) {
  for (const Preset& preset : Presets()) {
    if (preset.config.preset == name) return &preset;
  }
  return nullptr;
}

}  // namespace

const std::vector<Preset>& Presets() {
  static const std::vector<Preset> presets = MakePresets();
  return presets;
}

const std::vector<std::string>& PresetNames() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (const Preset& preset : Presets()) result.push_back(preset.config.preset);
    return result;
  }();
  return names;
}

const Preset& FindPreset(std::string_view name) {
  if (const Preset* const preset = Find(name)) return *preset;
  std::string known;
  for (const std::string& preset : PresetNames()) known += (known.empty() ? "" : ", ") + preset;
  throw InvalidInput("preset", "PRESET_UNKNOWN",
                     "there is no preset " + Quote(name) + "; known presets are " + known);
}

const ModelConfig& PresetConfig(std::string_view name) { return FindPreset(name).config; }

const Preprocessing& PresetPreprocessing(std::string_view name) {
  return FindPreset(name).preprocessing;
}

MapRange PresetMapRange(std::string_view name) {
  const Preset* const preset = Find(name);
  return preset == nullptr ? MapRange{} : preset->map_range;
}

}  // namespace proad::model
