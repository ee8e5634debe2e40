// The threshold of a category, from the scores of good pictures that were not trained on.
//
// No LibTorch. Pure functions; safe to call from any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "model/manifest.h"

namespace proad::model {

// How far above the highest good score CalibrateProvisional puts the threshold, as a share of it.
inline constexpr double kProvisionalMargin = 0.1;

// Good pictures that a budget needs before it allows to reject one of them: the budget is a share,
// and of fewer pictures it is less than one. `budget` > 0 and < 1.
int64_t ImagesForBudget(double budget);

// The lowest threshold that the budget allows: of n scores at most floor(budget n) are at or above
// it, which is what is rejected. It lies half way between the highest score that it lets pass and
// the next above, and equal scores stay together, on the side that passes.
//
// Throws InvalidInput: field "good_scores", TOO_FEW_IMAGES for fewer than ImagesForBudget, or
// SCORE_NOT_FINITE; field "false_reject_budget", OUT_OF_RANGE.
Calibration Calibrate(std::vector<double> good_scores, double budget);

// As Calibrate where there are enough scores; of fewer, but at least one, the highest and
// kProvisionalMargin more. Such a threshold is a guess to begin with: nothing says how many good
// parts it rejects, and images < ImagesForBudget(false_reject_budget) gives it away.
//
// Throws as Calibrate does, TOO_FEW_IMAGES only without any score.
Calibration CalibrateProvisional(std::vector<double> good_scores, double budget);

}  // namespace proad::model
