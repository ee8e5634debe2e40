#include "server/trainer/memory_limit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/util/mutex.h"
#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kMiB = 1 << 20;

TEST(MemoryLimit, OnlyAnonymousMemoryCounts) {
  EXPECT_EQ(AnonymousBytes("900 300 100 5 0 200 0\n", 4096), 200 * 4096);
  EXPECT_EQ(AnonymousBytes("900 100 300 5 0 200 0\n", 4096), 0) << "the counters are approximate";
  for (const char* text : {"", "900", "900 300", "900 x 100", "\n"}) {
    EXPECT_EQ(AnonymousBytes(text, 4096), 0) << text;
  }
}

TEST(MemoryLimit, ErrorNamesUseLimitAndWhatToChange) {
  EXPECT_THAT(
      MemoryLimitError(700 * kMiB, 600 * kMiB),
      AllOf(HasSubstr("700 MiB"), HasSubstr("600 MiB"), HasSubstr("training.memory_limit")));
}

// The bytes with which the limit reported that it was exceeded; 0 before.
class Report {
 public:
  void Set(int64_t used) {
    MutexLock lock(mutex_);
    used_ = used;
    changed_.NotifyAll();
  }
  int64_t Await(absl::Duration timeout) {
    const absl::Time deadline = absl::Now() + timeout;
    MutexLock lock(mutex_);
    while (used_ == 0 && changed_.WaitUntil(mutex_, deadline)) {
    }
    return used_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int64_t used_ ABSL_GUARDED_BY(mutex_) = 0;
};

TEST(MemoryLimit, ReportsWhenTheProcessUsesMore) {
  const int64_t now =
      AnonymousBytes(proad::testing::ReadText("/proc/self/statm"), sysconf(_SC_PAGESIZE));
  ASSERT_GT(now, 0);
  const int64_t bytes = now + 64 * kMiB;
  Report report;
  MemoryLimit limit(bytes, [&report](int64_t used) { report.Set(used); });
  EXPECT_EQ(report.Await(absl::Milliseconds(50)), 0) << "the limit is not exceeded yet";
  const std::vector<char> memory(256 * kMiB, 'x');
  EXPECT_GT(report.Await(absl::Minutes(1)), bytes) << "no report within a minute";
}

}  // namespace
}  // namespace proad::server
