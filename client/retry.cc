#include "client/retry.h"

#include <algorithm>

#include "client/error.h"

namespace proad::client {
namespace {

// A server that states a longer retry time is not waited for.
constexpr absl::Duration kLongestDelay = absl::Hours(24);

}  // namespace

std::optional<absl::Duration> RetryDelay(const RetryPolicy& policy, const absl::Status& error,
                                         int attempts_made, absl::Duration remaining,
                                         double jitter) {
  if (attempts_made >= policy.max_attempts) return std::nullopt;
  const std::optional<absl::Duration> asked = DetailsOf(error).retry_after;
  const bool retryable = absl::IsUnavailable(error) || (absl::IsResourceExhausted(error) && asked);
  if (!retryable) return std::nullopt;

  absl::Duration backoff = policy.initial_backoff;
  for (int i = 1; i < attempts_made && backoff < policy.max_backoff; ++i) {
    backoff *= policy.multiplier;
  }
  backoff = std::min(backoff, policy.max_backoff) * (0.5 + 0.5 * jitter);
  const absl::Duration delay =
      std::max(asked.value_or(absl::ZeroDuration()), absl::ZeroDuration()) + backoff;
  if (delay >= std::min(remaining, kLongestDelay)) return std::nullopt;
  return delay;
}

}  // namespace proad::client
