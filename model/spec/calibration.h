// Chooses the threshold of a category from the scores of good images that were not used for
// training.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/spec/manifest.h"

namespace proad::model {

// Least and greatest distance of a provisional threshold above the highest good score, as shares of
// that score.
inline constexpr double kLeastMargin = 0.1;
inline constexpr double kMostMargin = 1.0;

// The least number of good images for which `budget`, a share of them, is at least one image.
// `budget` > 0 and < 1.
int64_t ImagesForBudget(double budget);

// The lowest threshold that the budget allows. Scores at or above the threshold are rejected: of n
// scores at most floor(budget n). The threshold lies half way between the highest score that passes
// and the next higher score. Equal scores get the same verdict and pass.
//
// Throws InvalidInput: field "good_scores", TOO_FEW_IMAGES for fewer than ImagesForBudget, or
// SCORE_NOT_FINITE; field "false_reject_budget", OUT_OF_RANGE.
Calibration Calibrate(std::vector<double> good_scores, double budget);

// The thresholds of all categories. A category with enough scores is calibrated with Calibrate.
// With fewer scores its threshold is provisional: the bound that one more good image stays below
// with probability 1 - budget if scores of good parts are normally distributed,
//
//   mean (1 + t sqrt(v (1 + 1 / n)))
//
// v is the variance relative to the mean, pooled over all categories because a few images do not
// determine it. t is the quantile of Student's distribution for the images behind v. The bound is
// limited to the margins above; if no category has two images, it lies half way between them.
// Provisional thresholds have images < ImagesForBudget(false_reject_budget).
//
// Throws as Calibrate does; TOO_FEW_IMAGES only for a category without scores.
std::map<std::string, Calibration> CalibrateProvisional(
    const std::map<std::string, std::vector<double>>& good_scores, double budget);

}  // namespace proad::model
