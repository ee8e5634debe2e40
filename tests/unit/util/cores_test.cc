#include "server/util/cores.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

TEST(UsableCores, AreThoseThatTheControlGroupAllows) {
  const testing::TempDirectory root;
  EXPECT_EQ(UsableCoresAt(root.path(), 8), 8) << "no control group";
  std::filesystem::create_directories(root / "sys/fs/cgroup");
  const auto given = [&](const char* text, int bound) {
    testing::WriteText(root / "sys/fs/cgroup/cpu.max", text);
    return UsableCoresAt(root.path(), bound);
  };
  EXPECT_EQ(given("max 100000\n", 8), 8);
  EXPECT_EQ(given("200000 100000\n", 8), 2);
  EXPECT_EQ(given("150000 100000\n", 8), 2) << "rounded up";
  EXPECT_EQ(given("10000 100000\n", 8), 1);
  EXPECT_EQ(given("1600000 100000\n", 8), 8) << "more than it is bound to";
  EXPECT_EQ(given("0 0\n", 0), 1);
  EXPECT_EQ(given("nonsense\n", 4), 4);
}

TEST(UsableCores, ASystemdUnitLimitsThem) {
  const testing::TempDirectory root;
  std::filesystem::create_directories(root / "proc/self");
  std::filesystem::create_directories(root / "sys/fs/cgroup/system.slice/proad.service");
  testing::WriteText(root / "proc/self/cgroup", "0::/system.slice/proad.service\n");
  testing::WriteText(root / "sys/fs/cgroup/system.slice/proad.service/cpu.max", "200000 100000\n");
  EXPECT_EQ(UsableCoresAt(root.path(), 64), 2);
}

TEST(DefaultWorkers, AreOneForEachCoreOfACpuAndOneOnAGpu) {
  EXPECT_EQ(DefaultWorkers("cpu", 4), 4);
  EXPECT_EQ(DefaultWorkers("cpu", 64), 16);
  EXPECT_EQ(DefaultWorkers("cuda:0", 64), 1);
}

TEST(UsableCores, AreThere) { EXPECT_GE(UsableCores(), 1); }

}  // namespace
}  // namespace proad::server
