// From a score to a decision on a part. Pure functions: safe to call from any thread.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/spec/manifest.h"
#include "server/serving/recalibration.h"

namespace proad::server {

enum class Verdict { kNormal, kAnomalous, kUndecided };

enum class ThresholdSource {
  kNone,      // there is no threshold
  kRequest,   // the request brought it
  kCategory,  // the calibration for the category
  kModel,     // the calibration over all categories
};

// The threshold that decides, in units of score.
struct Threshold {
  std::optional<double> value;  // finite and > 0; nullopt with kNone only
  ThresholdSource source = ThresholdSource::kNone;
};

// The request's threshold, else that of the category, else that of the version, else none.
//
// What Calibrate set since (`recalibrated`, null: nothing) goes before what the version was
// published with.
//
// A version that was calibrated for categories knows its categories, so any other name is
// NOT_FOUND (field "category", CATEGORY_NOT_FOUND), with the known ones listed: a misspelt category
// must not be judged by another's threshold. A version without calibrated categories cannot tell a
// wrong name from a right one and accepts every name.
absl::StatusOr<Threshold> PickThreshold(const model::Manifest& manifest,
                                        const Recalibrations* recalibrated,
                                        absl::string_view category,
                                        std::optional<double> requested);

// kNormal only for a score below a known threshold; kUndecided without a threshold.
Verdict Decide(double score, const Threshold& threshold);

// score / (2 * threshold), at most 1: 0.5 is the threshold. nullopt without a threshold.
std::optional<double> NormalizedScore(double score, const Threshold& threshold);

}  // namespace proad::server
