// Settings of the whole process.
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

// Raises the limit of open files to the highest that this process may have. Each connection is one,
// and the usual limit, 1,024, is a soft one for the sake of programs that use select().
void AllowAllOpenFiles();

}  // namespace proad::server
