#include "server/batching/sojourn_estimate.h"

#include <algorithm>
#include <cmath>

namespace proad::server {
namespace {

// Weight of the newest answer. The images of a batch end together, so an estimate needs several
// batches.
constexpr double kSmoothing = 0.05;
// Prior of the slope: time is proportional to the images ahead. The prior has the weight of this
// relative deviation of the images ahead. An overloaded server nearly always has the same number
// ahead, and a slope from these alone would be noise.
constexpr double kPriorDeviation = 0.5;
// Margin in mean absolute deviations; few answers lie further above the line.
constexpr double kSlow = 3;
// Limits of the margin, relative to the estimate.
constexpr double kLeastMargin = 1.0 / 3;
constexpr double kMostMargin = 1;

}  // namespace

void SojournEstimate::Answered(int64_t ahead, absl::Duration took) {
  const double x = static_cast<double>(ahead);
  const double seconds = std::max(absl::ToDoubleSeconds(took), 0.0);  // the clock was set back
  // The plain mean at first. One answer shows no deviation: assume half.
  const double weight = std::max(kSmoothing, 1.0 / static_cast<double>(++count_));
  const double off = count_ == 1 ? seconds / 2 : std::abs(seconds - Expected(x));
  deviation_ += weight * (off - deviation_);
  const double from_ahead = x - mean_ahead_;
  const double from_took = seconds - mean_took_;
  mean_ahead_ += weight * from_ahead;
  mean_took_ += weight * from_took;
  variance_ = (1 - weight) * (variance_ + weight * from_ahead * from_ahead);
  covariance_ = (1 - weight) * (covariance_ + weight * from_ahead * from_took);
}

void SojournEstimate::GivenUp(int64_t ahead, absl::Duration waited) {
  // A short deadline does not show that the server is slow.
  if (count_ > 0 && absl::ToDoubleSeconds(waited) < Expected(static_cast<double>(ahead))) return;
  Answered(ahead, waited);
}

std::optional<absl::Duration> SojournEstimate::AtMost(int64_t ahead) const {
  if (count_ == 0) return std::nullopt;
  const double expected = Expected(static_cast<double>(ahead));
  const double margin =
      std::clamp(kSlow * deviation_, kLeastMargin * expected, kMostMargin * expected);
  return absl::Seconds(expected + margin);
}

double SojournEstimate::Expected(double ahead) const {
  const double proportional = mean_took_ / (mean_ahead_ + 1);
  const double prior = std::pow(kPriorDeviation * (mean_ahead_ + 1), 2);
  const double slope = (covariance_ + prior * proportional) / (variance_ + prior);
  return std::max(mean_took_ + std::max(slope, 0.0) * (ahead - mean_ahead_), 0.0);
}

}  // namespace proad::server
