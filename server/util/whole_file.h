// Reads small files as a whole.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "absl/status/statusor.h"

namespace proad::server {

// The content of a regular file; symbolic links are followed. NOT_FOUND, "PATH: cannot be read:
// ...", when it cannot be read; INVALID_ARGUMENT when it is longer than `max_bytes`. Thread-safe;
// blocks.
absl::StatusOr<std::string> ReadWholeFile(const std::filesystem::path& path, size_t max_bytes);

}  // namespace proad::server
