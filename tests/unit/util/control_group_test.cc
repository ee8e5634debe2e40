#include "server/util/control_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

TEST(ControlGroupPathTest, IsTheVersion2Line) {
  EXPECT_EQ(ControlGroupPath("0::/system.slice/proad.service\n"), "/system.slice/proad.service");
  EXPECT_EQ(ControlGroupPath("12:memory:/a\n1:name=systemd:/b\n0::/c/d\n"), "/c/d") << "hybrid";
  EXPECT_EQ(ControlGroupPath("0::/\n"), "/") << "in a container";
  EXPECT_EQ(ControlGroupPath("4:memory:/only/version/1\n"), "/");
  EXPECT_EQ(ControlGroupPath(""), "/");
  EXPECT_EQ(ControlGroupPath("0::/../../elsewhere\n"), "/elsewhere") << "never above the root";
}

class ControlGroupTest : public ::testing::Test {
 protected:
  ControlGroupTest() {
    fs::create_directories(root_ / "proc/self");
    testing::WriteText(root_ / "proc/self/cgroup", "0::/system.slice/proad.service\n");
    for (const char* group : {"", "system.slice", "system.slice/proad.service"}) {
      fs::create_directories(Group(group));
    }
  }

  fs::path Group(const std::string& path) const { return root_ / "sys/fs/cgroup" / path; }

  void Write(const std::string& group, const std::string& file, const std::string& text) {
    testing::WriteText(Group(group) / file, text.c_str());
  }

  testing::TempDirectory root_;
};

TEST_F(ControlGroupTest, GroupsLeadFromTheProcessToTheRoot) {
  EXPECT_THAT(ControlGroups(root_.path()),
              ElementsAre(Group("system.slice/proad.service"), Group("system.slice"),
                          root_ / "sys/fs/cgroup"));
}

TEST_F(ControlGroupTest, GroupsThatAreNotVisibleAreLeftOut) {
  testing::WriteText(root_ / "proc/self/cgroup", "0::/kubepods/pod1/container1\n");
  EXPECT_THAT(ControlGroups(root_.path()), ElementsAre(root_ / "sys/fs/cgroup"));
}

TEST_F(ControlGroupTest, WithoutALimitThereIsNone) {
  EXPECT_EQ(CpuLimit(root_.path()), std::nullopt);
  EXPECT_EQ(MemoryLimit(root_.path()), std::nullopt);
  EXPECT_EQ(MemoryLeft(root_.path()), std::nullopt);
  Write("system.slice/proad.service", "cpu.max", "max 100000\n");
  Write("system.slice/proad.service", "memory.max", "max\n");
  Write("system.slice/proad.service", "memory.current", "1000\n");
  EXPECT_EQ(CpuLimit(root_.path()), std::nullopt);
  EXPECT_EQ(MemoryLimit(root_.path()), std::nullopt);
  EXPECT_EQ(MemoryLeft(root_.path()), std::nullopt);
}

TEST_F(ControlGroupTest, TheSmallestLimitOnTheWayHolds) {
  Write("system.slice/proad.service", "cpu.max", "400000 100000\n");
  EXPECT_EQ(CpuLimit(root_.path()), 4);
  Write("system.slice", "cpu.max", "150000 100000\n");
  EXPECT_EQ(CpuLimit(root_.path()), 1.5) << "of the slice";
  Write("system.slice/proad.service", "cpu.max", "50000 100000\n");
  EXPECT_EQ(CpuLimit(root_.path()), 0.5) << "of the unit";

  Write("system.slice", "memory.max", "3000\n");
  Write("system.slice/proad.service", "memory.max", "2000\n");
  EXPECT_EQ(MemoryLimit(root_.path()), 2000u);
  Write("system.slice", "memory.max", "1000\n");
  EXPECT_EQ(MemoryLimit(root_.path()), 1000u);
}

TEST_F(ControlGroupTest, WhatIsLeftIsThatOfTheFullestGroup) {
  Write("system.slice/proad.service", "memory.max", "2000\n");
  Write("system.slice/proad.service", "memory.current", "500\n");
  Write("system.slice", "memory.max", "10000\n");
  Write("system.slice", "memory.current", "9400\n");
  Write("system.slice", "memory.stat", "anon 1\ninactive_file 400\nactive_file 7\n");
  EXPECT_EQ(MemoryLeft(root_.path()), 1000u) << "a neighbour in the slice fills it";
  Write("system.slice", "memory.current", "20000\n");
  EXPECT_EQ(MemoryLeft(root_.path()), 0u);
}

TEST_F(ControlGroupTest, UsableMemoryIsThatOfTheMachineOrLess) {
  EXPECT_EQ(UsableMemory(root_.path()), 0u) << "nothing is known";
  testing::WriteText(root_ / "proc/meminfo", "MemTotal:       16000 kB\nMemFree:  1 kB\n");
  EXPECT_EQ(UsableMemory(root_.path()), 16000u * 1024);
  Write("system.slice", "memory.max", "3000000\n");
  EXPECT_EQ(UsableMemory(root_.path()), 3000000u);
  Write("system.slice", "memory.max", "300000000\n");
  EXPECT_EQ(UsableMemory(root_.path()), 16000u * 1024);
  EXPECT_GT(UsableMemory(), 0u);
}

TEST_F(ControlGroupTest, NonsenseIsNoLimit) {
  Write("system.slice/proad.service", "cpu.max", "nonsense\n");
  Write("system.slice", "cpu.max", "0 0\n");
  Write("system.slice/proad.service", "memory.max", "\n");
  EXPECT_EQ(CpuLimit(root_.path()), std::nullopt);
  EXPECT_EQ(MemoryLimit(root_.path()), std::nullopt);
}

}  // namespace
}  // namespace proad::server
