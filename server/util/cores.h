// How many threads can compute at once.
#pragma once

#include <filesystem>

#include "absl/strings/string_view.h"

namespace proad::server {

// Cores that this process may use: those of its affinity mask, or fewer where a control group
// limits its CPU time, rounded up. At least 1.
int UsableCores();

// Batches that run at once on `device` ("cpu", "cuda:0") by default. On a CPU: one per core of
// `cores`, at most 16, since each takes memory. On a GPU: 1.
int DefaultWorkers(absl::string_view device, int cores);

// UsableCores for another root than "/" and `bound` cores in the affinity mask.
int UsableCoresAt(const std::filesystem::path& root, int bound);

}  // namespace proad::server
