// Settings of the whole process.
#pragma once

namespace proad::server {

// Starts this program again with OMP_WAIT_POLICY=active and GOMP_SPINCOUNT=1000, unless the
// environment has a policy already; returns when it has, or when that fails, which makes the
// program slower and not wrong. To be called first in main.
//
// LibTorch's threads meet hundreds of times a picture. To sleep each time until the other comes
// takes longer than the other does; to spin without end, the default, takes the core from the very
// thread that is waited for where something else has the other cores. So they spin for some
// microseconds, and sleep then. (Without the policy libgomp hardly spins once there are more
// threads than cores, which two workers suffice for.)
void SpinBriefly(char** argv);

// Raises the limit of open files to the highest that this process may have. Each connection is one,
// and the usual limit, 1,024, is a soft one for the sake of programs that use select().
void AllowAllOpenFiles();

}  // namespace proad::server
