// When a failed call may be made again.
//
// Pure functions of a snapshot: no clock, no random numbers, no sleeping. Safe from any thread.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace proad::client {

struct RetryPolicy {
  int max_attempts = 4;  // the first one counts; 1 = never retry
  absl::Duration initial_backoff = absl::Milliseconds(50);
  absl::Duration max_backoff = absl::Seconds(2);
  double multiplier = 2.0;
};

// How long to wait before the next attempt; nullopt: give up and hand `error` to the caller.
//
//   UNAVAILABLE         always: the server did not inspect the picture, or inspecting it again does
//   no harm RESOURCE_EXHAUSTED  only when the server said when to come back, and not before
//   everything else     never. After DEADLINE_EXCEEDED nobody waits any longer; INTERNAL would only
//   repeat
//                       itself; the other codes are the request's fault
//
// Never waits past `remaining`, the time left until the call's deadline. `attempts_made` >= 1.
// `jitter` in [0, 1) spreads clients that failed together: a back-off is between half and all of
// initial_backoff * multiplier^(attempts_made - 1), and is added to what the server asked for.
std::optional<absl::Duration> RetryDelay(const RetryPolicy& policy, const absl::Status& error,
                                         int attempts_made, absl::Duration remaining,
                                         double jitter);

}  // namespace proad::client
