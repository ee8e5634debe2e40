// Small files, read at once.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "absl/status/statusor.h"

namespace proad::server {

// What a regular file holds; symbolic links are followed. NOT_FOUND, "PATH: cannot be read: ", for
// whatever keeps it from being read, INVALID_ARGUMENT when it is longer than `max_bytes`. Any
// thread; blocks.
absl::StatusOr<std::string> ReadWholeFile(const std::filesystem::path& path, size_t max_bytes);

}  // namespace proad::server
