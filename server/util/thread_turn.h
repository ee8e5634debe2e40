// Who goes first where more threads want to compute than there are cores.
#pragma once

#include "absl/time/time.h"

namespace proad::server {

// From now on the calling thread, and every one that it starts, is to compute for so long, 0.1 to
// 100 ms, before another that waits for its core has its turn. One with shorter turns is let in
// sooner when it wakes up; how much of the core each gets stays the same. Linux does so from 6.12
// on; on others, and where it is forbidden, nothing changes.
void TakeTurnsOf(absl::Duration turn);

}  // namespace proad::server
