// What to train, on what, and what the result must reach.
//
// No LibTorch. Plain values; safe to read from any thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/spec/recipe.h"

namespace proad::model {

// The least that a figure may be.
struct MetricMinimum {
  std::string metric;    // "image_auroc", ... (evaluation.h)
  std::string category;  // "": the mean over all
  double minimum = 0;    // 0..1

  bool operator==(const MetricMinimum&) const = default;
};

// What a version must reach to be activated; all of it must hold.
struct Gate {
  std::vector<MetricMinimum> minimums;
  // Not worse than the active version on the same pictures in the metrics that `minimums` name, or
  // in image_auroc when they name none.
  bool not_worse_than_active = false;
  double tolerance = 0;  // how much worse still passes

  bool operator==(const Gate&) const = default;
};

struct TrainSpec {
  std::string model_name;  // gets the new version
  std::filesystem::path dataset;
  DatasetFormat dataset_format = DatasetFormat::kAuto;
  std::vector<std::string> categories;  // empty: all
  std::string preset = kDefaultPreset;
  Recipe recipe;                       // overrides applied
  std::filesystem::path encoder_file;  // any dialect of weight_import.h
  std::filesystem::path init_from;     // directory of a version; empty: fresh weights
  std::string device = "auto";
  double validation_share = 0.1;      // of the good training pictures, held out for thresholds
  double false_reject_budget = 0.01;  // of the provisional thresholds
  bool skip_unreadable = false;
  int world_size = 1;
  std::optional<Gate> gate;              // absent: the version is not to be activated
  std::filesystem::path active_version;  // to compare with; empty: none

  bool operator==(const TrainSpec&) const = default;
};

}  // namespace proad::model
