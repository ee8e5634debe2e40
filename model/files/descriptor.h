// Owns a file descriptor and closes it. Not thread-safe.
#pragma once

#include <unistd.h>

#include <utility>

namespace proad::model {

class Descriptor {
 public:
  // Owns `fd`. A negative number means none.
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { Reset(-1); }

  int get() const { return fd_; }
  // Closes the current descriptor and owns `fd`.
  void Reset(int fd) {
    const int before = std::exchange(fd_, fd);
    if (before >= 0) close(before);
  }
  // Gives up ownership; the caller closes the returned descriptor.
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace proad::model
