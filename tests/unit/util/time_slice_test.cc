#include "server/util/time_slice.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <thread>

namespace proad::server {
namespace {

// sched_attr's sched_runtime of the calling thread, nanoseconds.
uint64_t Slice() {
  std::array<uint64_t, 6> attributes{};
  EXPECT_EQ(syscall(SYS_sched_getattr, 0, attributes.data(), sizeof attributes, 0), 0);
  return attributes[3];
}

TEST(TimeSliceTest, HoldsForTheThreadAndTheThreadsItStarts) {
  std::thread([] {
    const int nice = getpriority(PRIO_PROCESS, 0);
    SetTimeSlice(absl::Milliseconds(20));
    if (Slice() == 0) GTEST_SKIP() << "this kernel has no time slices to choose";
    EXPECT_EQ(Slice(), 20'000'000u);
    EXPECT_EQ(getpriority(PRIO_PROCESS, 0), nice);
    std::thread([] {
      EXPECT_EQ(Slice(), 20'000'000u);
      SetTimeSlice(absl::Microseconds(200));
      EXPECT_EQ(Slice(), 200'000u);
    }).join();
    EXPECT_EQ(Slice(), 20'000'000u) << "unchanged";
  }).join();
}

}  // namespace
}  // namespace proad::server
