// The labels of a dataset as they were read: how many images each folder, or each label of a list,
// gives to a split, as good or as a kind of defect.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/dataset/label_words.h"

namespace proad::model {

struct LabelReading {
  std::string category;
  std::string label;  // a folder below the root, "" for the root; or a label of a list, as written
  Split split = Split::kTrain;
  std::string defect;  // "" for good images
  int64_t images = 0;
  int64_t masks = 0;

  bool operator==(const LabelReading&) const = default;
};

// Sorted by category, split and label.
std::vector<LabelReading> LabelReadings(const Dataset& dataset);

// Returns the end of a message about a label that may be good or a defect: both readings, and how to
// write each of them.
std::string BothReadings(std::string_view label);

}  // namespace proad::model
