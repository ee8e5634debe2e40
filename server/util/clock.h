// The source of the current time.
#pragma once

#include <functional>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace proad::server {

// Returns the current time: absl::Now, or in a test a time that the test sets.
using Clock = std::function<absl::Time()>;

}  // namespace proad::server
