// The memory limit of a trainer, which the trainer enforces on itself.
//
// A trainer often shares a control group with its server, and a kernel that runs out of the group's
// memory may kill all processes of the group (memory.oom.group; Kubernetes sets it). So the trainer
// ends itself before that happens. RLIMIT_AS and RLIMIT_DATA are unsuitable: they count address space,
// of which CUDA and the allocator reserve much more than they use.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include "absl/strings/string_view.h"

namespace proad::server {

// Watches the memory of this process from a thread of its own.
class MemoryLimit {
 public:
  // Calls `on_exceeded` once, from the thread, when the process has more than `bytes` of anonymous
  // memory. The function normally ends the process. The thread keeps the priority that the calling
  // thread has now.
  MemoryLimit(int64_t bytes, std::function<void(int64_t used)> on_exceeded);
  ~MemoryLimit();
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;

 private:
  void Watch(int64_t bytes, const std::function<void(int64_t used)>& on_exceeded);

  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

// Bytes of anonymous memory in the text of /proc/self/statm; 0 when it cannot be parsed. Memory of
// mapped files does not count, since the kernel can reclaim it. Pure function.
int64_t AnonymousBytes(absl::string_view statm, int64_t page_size);

// The error of a trainer that exceeded its limit.
std::string MemoryLimitError(int64_t used, int64_t limit);

}  // namespace proad::server
