#include "model/spec/calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <sstream>
#include <utility>

#include "model/files/error.h"

namespace proad::model {
namespace {

// Decimal budgets are not exact in binary: 0.29 * 100 is below 29, and must count as 29.
constexpr double kRounding = 1e-9;

std::string Show(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

void Check(const std::vector<double>& scores, double budget) {
  if (!(budget > 0 && budget < 1)) {
    throw InvalidInput("false_reject_budget", "OUT_OF_RANGE",
                       "the false-reject budget is " + Show(budget) + "; it must be > 0 and < 1");
  }
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!std::isfinite(scores[i])) {
      throw NonFiniteScore("good_scores", "score " + std::to_string(i) + " of the good images is " +
                                              Show(scores[i]) + "; it must be finite");
    }
  }
}

[[noreturn]] void RefuseTooFew(size_t images, int64_t needed, double budget) {
  throw InvalidInput("good_scores", "TOO_FEW_IMAGES",
                     std::to_string(images) +
                         " good images are too few for a calibration: a "
                         "false-reject budget of " +
                         Show(budget) + " needs at least " + std::to_string(needed));
}

Calibration Make(double threshold, double budget, size_t images) {
  // A threshold in a manifest must be above 0, also if all scores are 0.
  return {.threshold = std::max(threshold, std::numeric_limits<double>::min()),
          .false_reject_budget = budget,
          .images = static_cast<int64_t>(images)};
}

// Half way from `passes` to `rejected`, and above `passes` also after rounding.
double Between(double passes, double rejected) {
  const double middle = std::midpoint(passes, rejected);
  return middle > passes ? middle : rejected;
}

double MeanOf(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// The variance of scores relative to the mean of their category, and its degrees of freedom.
struct Spread {
  double variance = 0;
  double freedom = 0;
};

Spread PooledSpread(const std::map<std::string, std::vector<double>>& good_scores) {
  Spread spread;
  for (const auto& [category, scores] : good_scores) {
    const double mean = MeanOf(scores);
    if (mean == 0) continue;
    for (const double score : scores) {
      const double relative = (score - mean) / mean;
      spread.variance += relative * relative;
    }
    spread.freedom += static_cast<double>(scores.size()) - 1;
  }
  if (spread.freedom > 0) spread.variance /= spread.freedom;
  return spread;
}

// The value that a standard normal stays below with probability 1 - p (Abramowitz and Stegun,
// 26.2.23; within 5e-4). 0 < p < 1.
double NormalQuantile(double p) {
  if (p > 0.5) return -NormalQuantile(1 - p);
  const double t = std::sqrt(-2 * std::log(p));
  return t - (2.515517 + t * (0.802853 + t * 0.010328)) /
                 (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
}

// The same for Student's distribution (Abramowitz and Stegun, 26.7.5). Too small for fewer than
// three degrees of freedom, where kMostMargin limits the bound.
double StudentQuantile(double p, double freedom) {
  const double z = NormalQuantile(p);
  const double z3 = z * z * z;
  const double z5 = z3 * z * z;
  const double z7 = z5 * z * z;
  return z + (z3 + z) / (4 * freedom) + (5 * z5 + 16 * z3 + 3 * z) / (96 * freedom * freedom) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * freedom * freedom * freedom);
}

double Bound(const std::vector<double>& scores, const Spread& spread, double budget) {
  const double highest = *std::max_element(scores.begin(), scores.end());
  const double least = highest + std::abs(highest) * kLeastMargin;
  const double most = highest + std::abs(highest) * kMostMargin;
  if (spread.freedom <= 0) return std::midpoint(least, most);
  const double one_more = spread.variance * (1 + 1 / static_cast<double>(scores.size()));
  const double margin = StudentQuantile(budget, spread.freedom) * std::sqrt(one_more);
  return std::clamp(MeanOf(scores) * (1 + margin), least, most);
}

}  // namespace

int64_t ImagesForBudget(double budget) {
  Check({}, budget);
  const double images = std::ceil((1 - kRounding) / budget);
  constexpr double kMost = 1e18;  // a budget near 0 needs more images than an integer holds
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

std::map<std::string, Calibration> CalibrateProvisional(
    const std::map<std::string, std::vector<double>>& good_scores, double budget) {
  const int64_t enough = ImagesForBudget(budget);
  for (const auto& [category, scores] : good_scores) {
    Check(scores, budget);
    if (scores.empty()) RefuseTooFew(0, 1, budget);
  }
  const Spread spread = PooledSpread(good_scores);
  std::map<std::string, Calibration> calibrations;
  for (const auto& [category, scores] : good_scores) {
    calibrations[category] = static_cast<int64_t>(scores.size()) >= enough
                                 ? Calibrate(scores, budget)
                                 : Make(Bound(scores, spread, budget), budget, scores.size());
  }
  return calibrations;
}

}  // namespace proad::model
