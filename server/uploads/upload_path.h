// The paths of uploaded files within their dataset.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/util/file_errors.h"

namespace proad::server {

// OK when `path` can be the path of a file in a dataset: relative, UTF-8, at most 512 bytes, no
// part that begins with a dot, and the extension of an image, a list or a text. INVALID_ARGUMENT
// (PATH_INVALID, field "file.path") otherwise. Pure: safe to call from any thread.
absl::Status CheckUploadPath(absl::string_view path);

// Opens the folder that holds the file `path` below `root`, and creates the folders that are
// missing. Follows no symbolic link. INVALID_ARGUMENT (PATH_INVALID) when a part of the path is not
// a folder; otherwise errors of the file system.
absl::StatusOr<FileDescriptor> OpenUploadFolder(const std::filesystem::path& root,
                                                const std::string& path);

}  // namespace proad::server
