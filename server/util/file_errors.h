// Failures of the file system as statuses, and a descriptor that closes itself.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace proad::server {

// Whether the error says that the disk, a quota or a file size limit is full. Pure.
bool IsDiskFull(int error_number);

// The status of a file operation that failed with `error_number`. Pure.
//   ENOSPC, EDQUOT, EFBIG   RESOURCE_EXHAUSTED  DISK_FULL
//   ENOMEM                  RESOURCE_EXHAUSTED  OUT_OF_MEMORY
//   EMFILE, ENFILE          RESOURCE_EXHAUSTED  FILE_ERROR
//   ENOENT, ENOTDIR         NOT_FOUND           FILE_ERROR
//   EACCES, EPERM, EROFS    PERMISSION_DENIED   FILE_ERROR
//   anything else           INTERNAL            FILE_ERROR
absl::Status StatusOfErrno(int error_number, absl::string_view message);

// StatusOfErrno with the message "PATH: cannot ACTION: No such file or directory". Pure.
absl::Status FileFailed(const std::filesystem::path& path, absl::string_view action,
                        int error_number);

// Owns a file descriptor. Not thread-safe.
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
