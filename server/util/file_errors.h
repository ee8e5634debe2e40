// What the system says of a file, as a status; and a descriptor that closes itself.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace proad::server {

// "PATH: cannot ACTION: No such file or directory". RESOURCE_EXHAUSTED (DISK_FULL) for a full disk,
// quota or limit, otherwise INTERNAL. Pure.
absl::Status FileFailed(const std::filesystem::path& path, absl::string_view action,
                        int error_number);

// Owns a file descriptor. One thread at a time.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}  // -1: none
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }

  bool ok() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

}  // namespace proad::server
