#include "server/serving/memory_room.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

class MemoryRoomTest : public ::testing::Test {
 protected:
  MemoryRoomTest() {
    fs::create_directories(root_ / "proc");
    fs::create_directories(root_ / "sys/fs/cgroup");
    testing::WriteText(root_ / "proc/meminfo",
                       "MemTotal:       16000 kB\nMemFree:  1 kB\nMemAvailable:    8000 kB\n");
  }

  void WriteGroup(const char* max, const char* current, const char* stat) {
    testing::WriteText(root_ / "sys/fs/cgroup/memory.max", max);
    testing::WriteText(root_ / "sys/fs/cgroup/memory.current", current);
    testing::WriteText(root_ / "sys/fs/cgroup/memory.stat", stat);
  }

  testing::TempDirectory root_;
};

TEST_F(MemoryRoomTest, FreeIsTheMemoryOfTheMachine) {
  EXPECT_EQ(HostMemoryAt(root_.path()).free, 8000u * 1024);
  WriteGroup("max\n", "123\n", "inactive_file 5\n");
  EXPECT_EQ(HostMemoryAt(root_.path()).free, 8000u * 1024) << "a group without a limit";
}

TEST_F(MemoryRoomTest, FreeIsAtMostTheLimitOfTheControlGroup) {
  WriteGroup("1000000\n", "900000\n", "anon 1\ninactive_file 300000\nactive_file 7\n");
  EXPECT_EQ(HostMemoryAt(root_.path()).free, 400000u) << "inactive file caches count as free";
  WriteGroup("1000000\n", "1200000\n", "");
  EXPECT_EQ(HostMemoryAt(root_.path()).free, 0u);
  WriteGroup("1000000000000\n", "0\n", "");
  EXPECT_EQ(HostMemoryAt(root_.path()).free, 8000u * 1024)
      << "the limit is above the memory of the machine";
}

TEST_F(MemoryRoomTest, ASystemdUnitLimitsIt) {
  const fs::path unit = root_ / "sys/fs/cgroup/system.slice/proad.service";
  fs::create_directories(root_ / "proc/self");
  fs::create_directories(unit);
  testing::WriteText(root_ / "proc/self/cgroup", "0::/system.slice/proad.service\n");
  testing::WriteText(unit / "memory.max", "1000000\n");
  testing::WriteText(unit / "memory.current", "900000\n");
  EXPECT_EQ(HostMemoryAt(root_.path()).free, 100000u);
}

TEST_F(MemoryRoomTest, UnreadableFiguresDoNotLimit) {
  fs::remove_all(root_ / "proc");
  EXPECT_GT(HostMemoryAt(root_.path()).free, uint64_t{1} << 50);
}

TEST_F(MemoryRoomTest, MemoryThatTheAllocatorKeepsIsAvailable) {
  EXPECT_EQ((MemoryRoom{.allocated = 10, .reserved = 30, .free = 5}).available(), 25u);
  EXPECT_EQ((MemoryRoom{.allocated = 30, .reserved = 10, .free = 5}).available(), 5u);
}

TEST(HostMemoryTest, ReadsTheFiguresOfThisMachine) {
  const MemoryRoom room = HostMemory();
  EXPECT_GT(room.allocated, 0u);
  EXPECT_GE(room.reserved, room.allocated);
  EXPECT_GT(room.free, 0u);
  EXPECT_LT(room.free, uint64_t{1} << 50);
}

}  // namespace
}  // namespace proad::server
