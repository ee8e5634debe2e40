// The specification of a training: data, network, recipe, and the gate of the result.
//
// No LibTorch. Values; safe to read from any thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/picture/image_reading.h"
#include "model/spec/gate.h"
#include "model/spec/preset.h"
#include "model/spec/recipe.h"

namespace proad::model {

struct TrainSpec {
  std::string model_name;  // gets the new version
  std::filesystem::path dataset;
  DatasetFormat dataset_format = DatasetFormat::kAuto;
  std::vector<std::string> categories;  // empty: all
  std::string preset = kDefaultPreset;
  Recipe recipe;                       // overrides applied
  std::filesystem::path encoder_file;  // of any dialect of encoder_names.h
  std::filesystem::path init_from;     // directory of a version; empty: fresh weights
  std::string device = "auto";
  double validation_share =
      0.1;  // share of the good training images that is held out for thresholds
  double false_reject_budget = 0.01;  // of the provisional thresholds
  bool skip_unreadable = false;
  // How images are read; the version records it. Absent in jobs of earlier programs.
  std::optional<Orientation> orientation;
  std::optional<int> bits;
  int world_size = 1;
  std::optional<Gate> gate;              // absent: the version is not activated
  std::filesystem::path active_version;  // for the gate's comparison; empty: none

  bool operator==(const TrainSpec&) const = default;
};

// The values of `spec`, with those of kUnrecordedReading where it has none.
inline ImageReading ReadingOf(const TrainSpec& spec) {
  return {.orientation = spec.orientation.value_or(kUnrecordedReading.orientation),
          .bits = spec.bits.value_or(kUnrecordedReading.bits)};
}

}  // namespace proad::model
