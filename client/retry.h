// Decides whether and when a failed call is repeated.
//
// Pure functions without clock, random numbers or sleep: safe to call from any thread.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace proad::client {

struct RetryPolicy {
  int max_attempts = 4;  // including the first; 1: never repeat
  absl::Duration initial_backoff = absl::Milliseconds(50);
  absl::Duration max_backoff = absl::Seconds(2);
  double multiplier = 2.0;
};

// Returns the time to wait before the next attempt, or nullopt to give up and return `error`.
//
//   UNAVAILABLE         Repeat. The server did not inspect the image, or a second inspection does no
//                       harm.
//   RESOURCE_EXHAUSTED  Repeat when the server stated a retry time, and not before that time.
//   Other codes         Give up. After DEADLINE_EXCEEDED the caller no longer waits; INTERNAL would
//                       occur again; the other codes mean that the request is invalid.
//
// `attempts_made` >= 1 counts the attempts so far. `remaining` is the time until the call's deadline;
// the function gives up when the wait would exceed it or one day. `jitter` in [0, 1) is a random number that
// spreads the retries of clients that failed at the same time. The wait is the server's retry time,
// if any, plus a backoff between 50 % and 100 % of
// min(initial_backoff * multiplier^(attempts_made - 1), max_backoff).
std::optional<absl::Duration> RetryDelay(const RetryPolicy& policy, const absl::Status& error,
                                         int attempts_made, absl::Duration remaining,
                                         double jitter);

}  // namespace proad::client
