// Interruptible waiting, and deadlines in the type that gRPC expects.
//
// Functions without state: safe to call from any thread.
#pragma once

#include <chrono>
#include <stop_token>

#include "absl/time/time.h"

namespace proad::client {

// Blocks for `duration` and returns true; returns false at once when `stop` is requested.
bool WaitFor(absl::Duration duration, const std::stop_token& stop);

// Converts a time, but at most one year from now: later times may not be representable.
std::chrono::system_clock::time_point ToDeadline(absl::Time time);

}  // namespace proad::client
