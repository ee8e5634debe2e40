// The table of presets: named networks with their preprocessing.
//
// No LibTorch. Constants; safe to read from any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/picture/heatmap.h"
#include "model/picture/preprocess.h"
#include "model/spec/config.h"

namespace proad::model {

// The preset of jobs that name none.
inline constexpr char kDefaultPreset[] = "proad-pyramid";

// One row of the table. The preset's name is config.preset.
struct Preset {
  ModelConfig config;
  Preprocessing preprocessing;
  MapRange map_range;  // until a training measures the range of its version
};

// All rows.
const std::vector<Preset>& Presets();
const std::vector<std::string>& PresetNames();

// Throws InvalidInput (field "preset", reason PRESET_UNKNOWN) that lists the names.
const Preset& FindPreset(std::string_view name);
// One part of FindPreset.
const ModelConfig& PresetConfig(std::string_view name);
const Preprocessing& PresetPreprocessing(std::string_view name);

// Range of the preset, or the default of MapRange for a name that is not a preset.
MapRange PresetMapRange(std::string_view name);

}  // namespace proad::model
