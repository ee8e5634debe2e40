// Waiting that can be ended early, and deadlines as gRPC takes them.
//
// Functions without state: safe to call from any thread.
#pragma once

#include <chrono>
#include <stop_token>

#include "absl/time/time.h"

namespace proad::client {

// Blocks for so long, or until `stop` is requested: false.
bool WaitFor(absl::Duration duration, const std::stop_token& stop);

// At most a year from now: what lies further away cannot be converted.
std::chrono::system_clock::time_point ToDeadline(absl::Time time);

}  // namespace proad::client
