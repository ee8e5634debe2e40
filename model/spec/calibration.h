// The threshold of a category, from the scores of good pictures that were not trained on.
//
// No LibTorch. Pure functions; safe to call from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/spec/manifest.h"

namespace proad::model {

// What a provisional threshold is above the highest good score at least, and at most, as shares of
// it.
inline constexpr double kLeastMargin = 0.1;
inline constexpr double kMostMargin = 1.0;

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

// For every category as Calibrate where it has enough scores. Of fewer, the bound that one more
// good picture of the category stays below with probability 1 - budget, if scores of good parts
// were normally distributed: mean (1 + t sqrt(v (1 + 1 / n))). v, the variance relative to the
// mean, is pooled over all categories, since a handful of pictures does not tell it; t is the
// quantile of Student's distribution for the pictures that v comes from. Kept between the margins
// above; without two pictures of any category half way between them. Such thresholds are a guess to
// begin with: images < ImagesForBudget(false_reject_budget) gives them away.
//
// Throws as Calibrate does, TOO_FEW_IMAGES only for a category without any score.
std::map<std::string, Calibration> CalibrateProvisional(
    const std::map<std::string, std::vector<double>>& good_scores, double budget);

}  // namespace proad::model
