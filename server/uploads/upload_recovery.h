// Brings the files of an interrupted upload in line with its journal.
#pragma once

#include <cstdint>
#include <filesystem>

#include "absl/status/statusor.h"
#include "server/uploads/upload_journal.h"

namespace proad::server {

// Keeps in `record` the files that are complete: all before the last flush, and after it those with
// the size and the digest that the journal states, up to the first that differs. Removes every
// other file below `files`, and the folders that are empty then. Removes symbolic links without
// following them. Returns the byte at which the journal continues.
//
// No other upload may change `files` meanwhile. Fails with errors of the file system.
absl::StatusOr<int64_t> RecoverUpload(const std::filesystem::path& files, UploadRecord& record);

}  // namespace proad::server
