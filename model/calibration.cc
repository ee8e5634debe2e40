#include "model/calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <sstream>
#include <utility>

#include "model/error.h"

namespace proad::model {
namespace {

// Decimal budgets are not exact in binary: 0.29 of 100 must be 29, though their product is below.
constexpr double kRounding = 1e-9;

std::string Show(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

void Check(const std::vector<double>& scores, double budget) {
  if (!(budget > 0 && budget < 1)) {
    throw InvalidInput("false_reject_budget", "OUT_OF_RANGE",
                       "the false-reject budget is " + Show(budget) + "; must be > 0 and < 1");
  }
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!std::isfinite(scores[i])) {
      throw InvalidInput("good_scores", "SCORE_NOT_FINITE",
                         "score " + std::to_string(i) + " of the good pictures is " +
                             Show(scores[i]) + "; must be finite");
    }
  }
}

[[noreturn]] void RefuseTooFew(size_t images, int64_t needed, double budget) {
  throw InvalidInput("good_scores", "TOO_FEW_IMAGES",
                     std::to_string(images) +
                         " good pictures are too few to calibrate on: a "
                         "false-reject budget of " +
                         Show(budget) + " needs at least " + std::to_string(needed));
}

Calibration Make(double threshold, double budget, size_t images) {
  // A manifest's threshold is above 0; scores that are all 0 would give none.
  return {.threshold = std::max(threshold, std::numeric_limits<double>::min()),
          .false_reject_budget = budget,
          .images = static_cast<int64_t>(images)};
}

// Half way from `passes` to `rejected`, but never so near `passes` that rounding gives it back.
double Between(double passes, double rejected) {
  const double middle = std::midpoint(passes, rejected);
  return middle > passes ? middle : rejected;
}

}  // namespace

int64_t ImagesForBudget(double budget) {
  Check({}, budget);
  const double images = std::ceil((1 - kRounding) / budget);
  constexpr double kMost = 1e18;  // what a budget near 0 needs is more than any integer
  return static_cast<int64_t>(std::min(images, kMost));
}

Calibration Calibrate(std::vector<double> good_scores, double budget) {
  const size_t images = good_scores.size();
  Check(good_scores, budget);
  const int64_t needed = ImagesForBudget(budget);
  if (static_cast<int64_t>(images) < needed) RefuseTooFew(images, needed, budget);
  std::sort(good_scores.begin(), good_scores.end());
  const auto rejectable =
      std::min(static_cast<size_t>(std::floor(budget * static_cast<double>(images) + kRounding)),
               images - 1);
  const double passes = good_scores[images - 1 - rejectable];
  const auto above = std::upper_bound(good_scores.begin(), good_scores.end(), passes);
  const double threshold = above != good_scores.end()
                               ? Between(passes, *above)
                               : std::nextafter(passes, std::numeric_limits<double>::infinity());
  return Make(threshold, budget, images);
}

Calibration CalibrateProvisional(std::vector<double> good_scores, double budget) {
  const size_t images = good_scores.size();
  Check(good_scores, budget);
  if (images == 0) RefuseTooFew(images, 1, budget);
  if (static_cast<int64_t>(images) >= ImagesForBudget(budget))
    return Calibrate(std::move(good_scores), budget);
  const double highest = *std::max_element(good_scores.begin(), good_scores.end());
  return Make(highest + std::abs(highest) * kProvisionalMargin, budget, images);
}

}  // namespace proad::model
