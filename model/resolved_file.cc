#include "model/resolved_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "model/error.h"

namespace proad::model {
namespace {

// A descriptor on the way to the file.
class Step {
 public:
  explicit Step(int fd) : fd_(fd) {}
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;
  ~Step() {
    if (fd_ >= 0) close(fd_);
  }

  int get() const { return fd_; }
  void Become(int fd) {
    const int before = std::exchange(fd_, fd);
    if (before >= 0) close(before);
  }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace

int OpenResolved(const std::filesystem::path& path) {
  // openat2 with RESOLVE_NO_SYMLINKS would do the same in one call, where kernel and container know
  // it. A folder is only passed through, which needs no right to list it.
  constexpr int kFolder = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  // A pipe in the file's place must not hold up who opens it.
  constexpr int kFile = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  if (!path.is_absolute()) throw FileError(path, "read", EINVAL);
  Step at(open("/", kFolder));
  for (const std::filesystem::path& part : path.parent_path().relative_path()) {
    if (part == "..") throw FileError(path, "read", ELOOP);
    at.Become(openat(at.get(), part.c_str(), kFolder));
    if (at.get() < 0) throw FileError(path, "read", errno);
  }
  at.Become(openat(at.get(), path.filename().c_str(), kFile));
  struct stat found = {};
  if (at.get() < 0 || fstat(at.get(), &found) != 0) throw FileError(path, "read", errno);
  if (!S_ISREG(found.st_mode))
    throw FileError(path, "read", S_ISDIR(found.st_mode) ? EISDIR : ENXIO);
  return at.Release();
}

}  // namespace proad::model
