// Opens a file without following symbolic links.
//
// No LibTorch. Safe to call from any thread.
#pragma once

#include <filesystem>

namespace proad::model {

// Opens a regular file for reading and returns its descriptor; the caller closes it.
//
// `path` must be absolute with its links resolved, as std::filesystem::canonical returns it. If any
// part of it is a symbolic link now, the link was created after that check, and the call fails.
// Throws FileError.
int OpenNoFollow(const std::filesystem::path& path);

}  // namespace proad::model
