// How many threads can compute at once.
#pragma once

#include <filesystem>

namespace proad::server {

// The cores that this process may use: those it is bound to, or fewer, rounded up, where the
// control group (version 2) gives it less of their time. At least 1.
int UsableCores();

// The same for another root than "/"; `bound` is how many it is bound to.
int UsableCoresAt(const std::filesystem::path& root, int bound);

}  // namespace proad::server
