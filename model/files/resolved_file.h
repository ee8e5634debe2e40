// A file whose path was resolved and checked before, opened at exactly that path.
//
// No LibTorch. Safe to call from any thread.
#pragma once

#include <filesystem>

namespace proad::model {

// Opens a regular file for reading and returns its descriptor, which is the caller's to close.
// `path` is absolute, links resolved, as std::filesystem::canonical gives it: where a link stands
// on the way now, somebody put it there after the check, and nothing is opened. Throws FileError.
int OpenResolved(const std::filesystem::path& path);

}  // namespace proad::model
