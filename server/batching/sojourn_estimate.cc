#include "server/batching/sojourn_estimate.h"

#include <algorithm>
#include <cmath>

namespace proad::server {
namespace {

// Weight of the newest answer. Images of one batch end together, so it takes several batches to see
// how long they take.
constexpr double kSmoothing = 0.05;
// Until images came to a server that was much busier or idler than usual, the time is taken to be
// proportional; a deviation of so much of how many are usually ahead outweighs that. A server with
// too much to do has nearly always as many ahead: a slope through these alone would be noise.
constexpr double kPriorDeviation = 0.5;
// Few answers lie further above the line, in mean absolute deviations.
constexpr double kSlow = 3;
// Of the line's time, at least and at most.
constexpr double kLeastMargin = 1.0 / 3;
constexpr double kMostMargin = 1;

}  // namespace

void SojournEstimate::Answered(int64_t ahead, absl::Duration took) {
  const double x = static_cast<double>(ahead);
  const double seconds = std::max(absl::ToDoubleSeconds(took), 0.0);  // the clock was set back
  // Of the first ones the mean; the very first says nothing of how far others lie off.
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
  // Whoever has no patience says nothing of how slow the server is.
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
