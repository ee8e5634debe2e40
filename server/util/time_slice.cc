#include "server/util/time_slice.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace proad::server {
namespace {

// The first version of the kernel's struct sched_attr, which the C library does not declare.
struct Scheduling {
  uint32_t size = sizeof(Scheduling);
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime = 0;  // of a SCHED_OTHER thread: its time slice in nanoseconds
  uint64_t deadline = 0;
  uint64_t period = 0;
};

constexpr int kThisThread = 0;

}  // namespace

void SetTimeSlice(absl::Duration slice) {
  Scheduling scheduling;
  if (syscall(SYS_sched_getattr, kThisThread, &scheduling, sizeof scheduling, 0) != 0) return;
  scheduling.runtime = static_cast<uint64_t>(absl::ToInt64Nanoseconds(slice));
  syscall(SYS_sched_setattr, kThisThread, &scheduling, 0);
}

}  // namespace proad::server
