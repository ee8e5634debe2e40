#include "server/util/process_settings.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace proad::server {
namespace {

TEST(ProcessSettingsTest, RaisesTheSoftLimitOfOpenFilesToTheHardLimit) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlim_t most = limit.rlim_max;
  limit.rlim_cur = 64;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  RaiseOpenFileLimit();
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, most);
}

}  // namespace
}  // namespace proad::server
