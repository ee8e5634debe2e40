#include "server/util/periodic_task.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <string>

#include "absl/time/clock.h"
#include "tests/support/sync.h"

namespace proad::server {
namespace {

TEST(PeriodicTaskTest, CallsTheFunctionAgainAfterEachInterval) {
  Collected<absl::Time> calls;
  PeriodicTask task({.name = "ticker", .interval = absl::Milliseconds(2)},
                    [&calls] { calls.Add(absl::Now()); });
  task.Start();
  const std::vector<absl::Time> times = calls.Await(4);
  for (size_t i = 1; i < times.size(); ++i) {
    EXPECT_GE(times[i] - times[i - 1], absl::Milliseconds(1)) << i;
  }
}

TEST(PeriodicTaskTest, WakeStartsACallLongBeforeTheInterval) {
  Collected<int> calls;
  PeriodicTask task({.name = "ticker", .interval = absl::Hours(1)}, [&calls] { calls.Add(1); });
  task.Start();
  task.Wake();
  calls.Await(1);
  task.Wake();
  calls.Await(2);
}

TEST(PeriodicTaskTest, WakeBeforeStartIsKept) {
  Event called;
  PeriodicTask task({.name = "ticker"}, [&called] { called.Set(); });
  task.Wake();
  task.Start();
  called.Wait();
}

TEST(PeriodicTaskTest, WakeDuringACallStartsAnotherCall) {
  Collected<int> calls;
  Event entered, leave;
  PeriodicTask task({.name = "ticker", .run_at_start = true}, [&] {
    calls.Add(1);
    entered.Set();
    leave.Wait();
  });
  task.Start();
  entered.Wait();
  task.Wake();
  leave.Set();
  calls.Await(2);
}

TEST(PeriodicTaskTest, TheEarliestRequestedTimeCounts) {
  Event called;
  PeriodicTask task({.name = "ticker"}, [&called] { called.Set(); });
  task.Start();
  task.WakeAt(absl::Now() + absl::Hours(1));
  task.WakeAt(absl::Now());
  task.WakeAt(absl::Now() + absl::Hours(2));
  called.Wait();
}

TEST(PeriodicTaskTest, RunAtStartDoesNotWaitForTheInterval) {
  Event called;
  PeriodicTask task({.name = "ticker", .interval = absl::Hours(1), .run_at_start = true},
                    [&called] { called.Set(); });
  task.Start();
  called.Wait();
}

TEST(PeriodicTaskTest, StopWaitsForTheCallInProgressAndStartsNoOther) {
  std::atomic<int> calls = 0;
  Event entered;
  PeriodicTask task({.name = "ticker", .interval = absl::ZeroDuration(), .run_at_start = true},
                    [&] {
                      ++calls;
                      entered.Set();
                    });
  task.Start();
  entered.Wait();
  task.Stop();
  const int before = calls;
  task.Wake();
  task.Stop();
  EXPECT_EQ(calls, before);
}

TEST(PeriodicTaskTest, StopEndsALongWaitAtOnce) {
  PeriodicTask task({.name = "ticker", .interval = absl::Hours(1)}, [] { FAIL(); });
  task.Start();
  task.Stop();
}

TEST(PeriodicTaskTest, IsStoppedWithoutAStart) {
  PeriodicTask task({.name = "ticker", .run_at_start = true}, [] { FAIL(); });
  task.Stop();
}

TEST(PeriodicTaskTest, NamesItsThread) {
  Collected<std::string> names;
  PeriodicTask task({.name = "batch-sweeper"}, [&names] {
    char name[16] = {};
    pthread_getname_np(pthread_self(), name, sizeof name);
    names.Add(name);
  });
  task.Start();
  task.Wake();
  EXPECT_EQ(names.Await(1).front(), "batch-sweeper");
}

}  // namespace
}  // namespace proad::server
