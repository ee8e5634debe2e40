#include "model/files/open_nofollow.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "model/files/descriptor.h"
#include "model/files/error.h"

namespace proad::model {

int OpenNoFollow(const std::filesystem::path& path) {
  // openat2 with RESOLVE_NO_SYMLINKS does the same in one call, but not every kernel and container
  // allows it. O_PATH needs no permission to list the folders on the way.
  constexpr int kFolder = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  // O_NONBLOCK: opening a pipe must not block.
  constexpr int kFile = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  if (!path.is_absolute()) throw FileError(path, "read", EINVAL);
  Descriptor at(open("/", kFolder));
  for (const std::filesystem::path& part : path.parent_path().relative_path()) {
    if (part == "..") throw FileError(path, "read", ELOOP);
    at.Reset(openat(at.get(), part.c_str(), kFolder));
    if (at.get() < 0) throw FileError(path, "read", errno);
  }
  at.Reset(openat(at.get(), path.filename().c_str(), kFile));
  struct stat found = {};
  if (at.get() < 0 || fstat(at.get(), &found) != 0) throw FileError(path, "read", errno);
  if (!S_ISREG(found.st_mode))
    throw FileError(path, "read", S_ISDIR(found.st_mode) ? EISDIR : ENXIO);
  return at.Release();
}

}  // namespace proad::model
