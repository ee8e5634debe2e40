// Settings that libraries read before main, so that a process must be started with them.
#pragma once

namespace proad::server {

// Starts this program again with OMP_WAIT_POLICY=passive, unless the environment has a policy
// already; returns when it has, or when that fails, which makes the program slower and not wrong.
// To be called first in main.
//
// LibTorch's OpenMP threads otherwise spin while they wait for each other; on a machine whose cores
// do anything else, decoding of pictures for example, they take the core from the very thread that
// they wait for.
void WaitWithoutSpinning(char** argv);

}  // namespace proad::server
