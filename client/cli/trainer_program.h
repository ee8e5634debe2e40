// `proad-trainer`, the program that holds the network. `proad` does not link LibTorch: what needs
// it is run there.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace proad::client {

// $PROAD_TRAINER if set; else beside this program, in ../server beside its folder (a build tree),
// or in PATH. NOT_FOUND lists where it was looked for.
absl::StatusOr<std::filesystem::path> FindTrainer();

// Becomes the program: returns only when that failed.
absl::Status ExecuteTrainer(const std::filesystem::path& trainer,
                            const std::vector<std::string>& arguments);

struct Output {
  int exit_code = 0;  // 128 + signal when it was killed
  std::string text;   // of standard output
};

// Runs it to its end; its standard error goes where ours goes. DEADLINE_EXCEEDED, and it is killed,
// after `timeout`.
absl::StatusOr<Output> RunTrainer(const std::filesystem::path& trainer,
                                  const std::vector<std::string>& arguments,
                                  absl::Duration timeout);

}  // namespace proad::client
