// Turns a score into a verdict on a part. Pure functions: safe to call from any thread.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/spec/manifest.h"
#include "server/serving/recalibration.h"

namespace proad::server {

enum class Verdict { kNormal, kAnomalous, kUndecided };

enum class ThresholdSource {
  kNone,      // there is no threshold
  kRequest,   // given in the request
  kCategory,  // the calibration for the category
  kModel,     // the calibration over all categories
};

// The threshold that a score is compared with.
struct Threshold {
  std::optional<double> value;  // finite and > 0; nullopt with kNone only
  ThresholdSource source = ThresholdSource::kNone;
};

// The threshold of the request, else of the category, else of the version, else none.
//
// Thresholds that Calibrate has set (`recalibrated`, null: none) replace the published ones.
//
// A version with thresholds for categories knows its categories. Any other name is NOT_FOUND (field
// "category", CATEGORY_NOT_FOUND), and the message lists the known ones, so that the threshold of
// another category is never used for a misspelt name. A version without such thresholds accepts
// every name.
absl::StatusOr<Threshold> PickThreshold(const model::Manifest& manifest,
                                        const Recalibrations* recalibrated,
                                        absl::string_view category,
                                        std::optional<double> requested);

// Whether the version was published with a threshold for the category, or has one since
// (`recalibrated`, null: nothing).
bool KnowsCategory(const model::Manifest& manifest, const Recalibrations* recalibrated,
                   const std::string& category);

// kNormal only for a score below a known threshold; kUndecided without a threshold.
Verdict Decide(double score, const Threshold& threshold);

// score / (2 * threshold), at most 1: 0.5 is the threshold. nullopt without a threshold.
std::optional<double> NormalizedScore(double score, const Threshold& threshold);

}  // namespace proad::server
