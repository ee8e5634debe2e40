// Settings of the whole process.
#pragma once

namespace proad::server {

// Restarts this program with OMP_WAIT_POLICY=active and GOMP_SPINCOUNT=1000. Returns when the
// environment sets a wait policy already, or when the restart fails; the program is then slower, not
// wrong. Call it first in main.
//
// LibTorch's threads wait for each other hundreds of times per image. A thread that sleeps at each of
// these points wakes up later than the thread that it waited for; a thread that spins without limit,
// the default, takes the core from that thread when other work has the other cores. So a thread spins
// for some microseconds and then sleeps. Without the policy, libgomp hardly spins once there are more
// threads than cores, which is so with two workers.
void RestartWithShortOpenMpSpin(char** argv);

// Raises the limit of open files to the hard limit. Each connection takes one, and the usual soft
// limit of 1,024 exists only for programs that use select().
void RaiseOpenFileLimit();

}  // namespace proad::server
