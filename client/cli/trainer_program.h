// Finds and runs the program `proad-trainer`, which contains the network. `proad` does not link
// LibTorch, so commands that need the network run there.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace proad::client {

// Returns the program's path: $PROAD_TRAINER if set; else the program in the folder of `proad`, in
// ../server (a build tree) or in PATH. NOT_FOUND lists the searched folders.
absl::StatusOr<std::filesystem::path> FindTrainer();

// Replaces this process by the program. Returns only on failure.
absl::Status ExecuteTrainer(const std::filesystem::path& trainer,
                            const std::vector<std::string>& arguments);

struct Output {
  int exit_code = 0;  // 128 + signal number when a signal ended the program
  std::string text;   // standard output
};

// Runs the program to its end. Its standard error is that of this process. After `timeout`, kills it
// and returns DEADLINE_EXCEEDED.
absl::StatusOr<Output> RunTrainer(const std::filesystem::path& trainer,
                                  const std::vector<std::string>& arguments,
                                  absl::Duration timeout);

}  // namespace proad::client
