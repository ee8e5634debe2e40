// The time slice of a thread: how long it computes before the scheduler lets another thread run.
#pragma once

#include "absl/time/time.h"

namespace proad::server {

// Sets the time slice of the calling thread and of every thread that it starts later; `slice` is 0.1
// to 100 ms. A thread with a shorter slice runs sooner after it wakes up; its share of the core does
// not change. Needs Linux 6.12; has no effect on older kernels or where the call is forbidden.
void SetTimeSlice(absl::Duration slice);

}  // namespace proad::server
