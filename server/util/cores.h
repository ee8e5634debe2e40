// How many threads can compute at once.
#pragma once

#include <filesystem>

#include "absl/strings/string_view.h"

namespace proad::server {

// The cores that this process may use: those it is bound to, or fewer, rounded up, where the
// control group (version 2) gives it less of their time. At least 1.
int UsableCores();

// Batches that are computed at once on `device` ("cpu", "cuda:0"), unless something else is asked
// for: on a CPU one for each of these cores, and 16 at most, since each takes memory; on a GPU one.
int WorkersOn(absl::string_view device);

// So many threads as were asked for; where that is 0, one for each of these cores.
int ThreadsOrCores(int threads);

// The same as UsableCores for another root than "/"; `bound` is how many it is bound to.
int UsableCoresAt(const std::filesystem::path& root, int bound);

}  // namespace proad::server
