// How the labels of a dataset were read, for the output of `dataset check` and `evaluate`.
//
// Pure functions: safe to call from any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "model/dataset/dataset.h"

namespace proad::server {

// One object for each label: category, label, split, good, defect, images and masks.
nlohmann::ordered_json LabelsToJson(const model::Dataset& dataset);

// A table with one row for each label, of at most 40 rows.
std::string LabelTableText(const model::Dataset& dataset);

// A line that names the labels of the test split that are read as good although they are not the
// word "good"; "" without any.
std::string GoodLabelsText(const model::Dataset& dataset);

// One object for each reason: reason, count and the first 100 names.
nlohmann::ordered_json SkippedToJson(const model::Dataset& dataset);

// Counts and first names of what was not read; "" if everything was.
std::string SkippedText(const model::Dataset& dataset);

}  // namespace proad::server
