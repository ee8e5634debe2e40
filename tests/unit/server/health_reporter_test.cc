#include "server/health_reporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/support/sync.h"

namespace proad::server {
namespace {

TEST(HealthReporterTest, PublishesEveryEvaluation) {
  bool ready = false;
  Collected<bool> published;
  HealthReporter health([&] { return ready; }, [&](bool value) { published.Add(value); }, [] {});
  health.Update();
  ready = true;
  health.Update();
  ready = false;
  health.Update();
  EXPECT_THAT(published.Await(3), ::testing::ElementsAre(false, true, false));
}

TEST(HealthReporterTest, TheLastEvaluationIsPublishedLast) {
  // The first update evaluates "ready". Before it publishes, the last worker is lost and a second
  // update starts in another thread.
  std::atomic<bool> ready = true;
  std::atomic<bool> published = false;
  Event second_starts;
  std::thread second;
  HealthReporter* reporter = nullptr;
  HealthReporter health(
      [&] {
        const bool value = ready;
        if (!second.joinable()) {
          ready = false;
          second = std::thread([&] {
            second_starts.Set();
            reporter->Update();
          });
          second_starts.Wait();
          // Time for the second update to overtake, if it can.
          for (int i = 0; i < 100; ++i) std::this_thread::yield();
        }
        return value;
      },
      [&](bool value) { published = value; }, [] {});
  reporter = &health;
  health.Update();
  second.join();
  EXPECT_FALSE(published) << "SERVING is left although there is no worker";
}

TEST(HealthReporterTest, TheReadyCallbackRunsOnceOnAThreadOfItsOwn) {
  Collected<std::thread::id> calls;
  HealthReporter health([] { return true; }, [](bool) {},
                        [&] { calls.Add(std::this_thread::get_id()); });
  health.Start();
  health.Update();
  health.Update();
  EXPECT_NE(calls.Await(1).front(), std::this_thread::get_id());
  health.Update();
  health.Stop();
  EXPECT_EQ(calls.size(), 1u);
}

TEST(HealthReporterTest, AServerThatIsReadyBeforeItStartsIsReportedAfterwards) {
  // A job that ended while no server ran activates its version before the port is open. The
  // callback of proad-server waits for the line that the main thread prints after the start.
  Event printed, ready;
  HealthReporter health([] { return true; }, [](bool) {},
                        [&] {
                          printed.Wait();
                          ready.Set();
                        });
  health.Update();  // on this thread; must not wait for the callback
  health.Start();
  printed.Set();
  ready.Wait();
}

TEST(HealthReporterTest, WithoutAStartNothingIsReported) {
  HealthReporter health([] { return true; }, [](bool) {}, [] { FAIL(); });
  health.Update();
}

}  // namespace
}  // namespace proad::server
