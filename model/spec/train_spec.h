// The specification of a training: data, network, recipe, and the gate of the result.
//
// No LibTorch. Values; safe to read from any thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
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
  int world_size = 1;
  std::optional<Gate> gate;              // absent: the version is not activated
  std::filesystem::path active_version;  // for the gate's comparison; empty: none

  bool operator==(const TrainSpec&) const = default;
};

}  // namespace proad::model
