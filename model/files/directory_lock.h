// An exclusive lock on a directory, held against other threads and processes.
#pragma once

#include <filesystem>

namespace proad::model {

// Locks with flock until it is destroyed; waits for the holder before it. Where the file system
// has no such locks for directories (some network file systems) it locks nothing. Not recursive: a
// thread that locks a directory twice waits forever.
class DirectoryLock {
 public:
  // Throws FileError when `directory` cannot be opened.
  explicit DirectoryLock(const std::filesystem::path& directory);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int fd_ = -1;
};

}  // namespace proad::model
