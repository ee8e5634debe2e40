#include "model/files/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <random>

#include "model/files/error.h"

namespace proad::model {

AtomicFile::AtomicFile(const std::filesystem::path& path)
    : path_(path),
      temporary_(path.parent_path() / UniqueName("." + path.filename().string() + ".tmp-")) {
  fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd_ < 0) throw FileError(path_, "create", errno);
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_.c_str());
}

void AtomicFile::Write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw FileError(path_, "write", errno);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void AtomicFile::Write(std::string_view text) {
  Write(std::as_bytes(std::span(text.data(), text.size())));
}

void AtomicFile::Commit() {
  if (fsync(fd_) != 0) throw FileError(path_, "flush", errno);
  if (rename(temporary_.c_str(), path_.c_str()) != 0)
    throw FileError(path_, "rename into place", errno);
  close(fd_);
  fd_ = -1;
  FlushToDisk(path_.has_parent_path() ? path_.parent_path() : ".");
}

void FlushToDisk(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw FileError(path, "open", errno);
  const int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  // Some file systems cannot flush a directory and return EINVAL.
  if (error != 0 && error != EINVAL) throw FileError(path, "flush", error);
}

std::string UniqueName(std::string_view prefix) {
  std::random_device random;
  char digits[17];
  std::snprintf(digits, sizeof digits, "%08x%08x", static_cast<uint32_t>(random()),
                static_cast<uint32_t>(random()));
  return std::string(prefix) + digits;
}

}  // namespace proad::model
