// A file descriptor that is closed with its owner. Not thread-safe.
#pragma once

#include <unistd.h>

#include <utility>

namespace proad::model {

class Descriptor {
 public:
  // Owns `fd`; a negative one is none.
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { Become(-1); }

  int get() const { return fd_; }
  // Owns `fd` from now on; what it owned before is closed.
  void Become(int fd) {
    const int before = std::exchange(fd_, fd);
    if (before >= 0) close(before);
  }
  // The caller's from now on.
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace proad::model
