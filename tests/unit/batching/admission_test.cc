#include "server/batching/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

using ::testing::HasSubstr;

TEST(AdmissionTest, CountsWhatIsInFlightAndGivesItBack) {
  Metrics metrics;
  Admission admission({.max_images = 2, .max_bytes = 100}, metrics);
  EXPECT_EQ(metrics.inflight_limit.Value(), 2);
  EXPECT_EQ(metrics.inflight_bytes_limit.Value(), 100);
  {
    auto first = admission.Admit(10);
    ASSERT_TRUE(first.ok());
    Admission::Ticket moved = *std::move(first);
    EXPECT_EQ(admission.in_flight(), 1);
    EXPECT_EQ(admission.bytes(), 10);
    EXPECT_EQ(metrics.inflight.Value(), 1);
    EXPECT_EQ(metrics.inflight_bytes.Value(), 10);
  }
  EXPECT_EQ(admission.in_flight(), 0);
  EXPECT_EQ(admission.bytes(), 0);
  EXPECT_EQ(metrics.inflight.Value(), 0);
}

TEST(AdmissionTest, ReleasesOnce) {
  Metrics metrics;
  Admission admission({.max_images = 2, .max_bytes = 100}, metrics);
  Admission::Ticket ticket = *admission.Admit(10);
  ticket.Release();
  ticket.Release();
  Admission::Ticket other = *admission.Admit(5);
  ticket = std::move(other);
  EXPECT_EQ(admission.in_flight(), 1);
  EXPECT_EQ(admission.bytes(), 5);
}

TEST(AdmissionTest, RefusesOverTheCountWithARetryTime) {
  Metrics metrics;
  Admission admission({.max_images = 1, .max_bytes = 100}, metrics);
  const auto held = admission.Admit(1);
  ASSERT_TRUE(held.ok());
  const absl::Status refused = admission.Admit(1).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("1 images are in flight, the limit"));
  const StatusDetails details = GetDetails(refused);
  EXPECT_EQ(details.reason, "QUEUE_FULL");
  ASSERT_TRUE(details.retry_after.has_value());
  EXPECT_GT(*details.retry_after, absl::ZeroDuration());
  EXPECT_EQ(metrics.rejected.queue_full.Value(), 1);
}

TEST(AdmissionTest, RefusesOverTheBytes) {
  Metrics metrics;
  Admission admission({.max_images = 10, .max_bytes = 100}, metrics);
  const auto held = admission.Admit(60);
  ASSERT_TRUE(held.ok());
  const absl::Status refused = admission.Admit(41).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("limit of 100"));
  EXPECT_EQ(GetDetails(refused).reason, "BYTES_FULL");
  EXPECT_EQ(metrics.rejected.bytes_full.Value(), 1);
  EXPECT_TRUE(admission.Admit(40).ok());
}

// With a clock that the test sets, and as many images in flight as the workers take at once.
class AdmissionDeadlineTest : public ::testing::Test {
 protected:
  void Fill() {
    while (admission_.in_flight() < 4) tickets_.push_back(*admission_.Admit(1));
  }

  absl::Time now_ = absl::FromUnixSeconds(1'000);
  Metrics metrics_;
  Admission admission_{{.max_images = 100, .at_once = 4}, metrics_, [this] { return now_; }};
  std::vector<Admission::Ticket> tickets_;
};

TEST_F(AdmissionDeadlineTest, NothingIsRefusedBeforeTheFirstAnswer) {
  Fill();
  EXPECT_TRUE(admission_.Admit(1, now_ + absl::Nanoseconds(1)).ok());
}

TEST_F(AdmissionDeadlineTest, RefusesExactlyTheImagesThatCannotBeAnsweredInTime) {
  Fill();
  now_ += absl::Milliseconds(20);  // the time that the first image takes
  tickets_.back().Release(Admission::Ending::kInspected);
  tickets_.pop_back();
  Fill();
  const absl::Status refused = admission_.Admit(1, now_ + absl::Milliseconds(1)).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("the deadline leaves"));
  EXPECT_EQ(GetDetails(refused).reason, "DEADLINE_UNATTAINABLE");
  EXPECT_TRUE(GetDetails(refused).retry_after.has_value());
  EXPECT_EQ(metrics_.rejected.deadline_unattainable.Value(), 1);
  EXPECT_EQ(admission_.in_flight(), 4);
  EXPECT_TRUE(admission_.Admit(1, now_ + absl::Milliseconds(60)).ok());
  EXPECT_TRUE(admission_.Admit(1).ok());
}

TEST_F(AdmissionDeadlineTest, NothingIsRefusedWhileAWorkerIsFreeHoweverSlowItWas) {
  Fill();
  now_ += absl::Milliseconds(20);
  for (Admission::Ticket& ticket : tickets_) ticket.Release(Admission::Ending::kInspected);
  tickets_.clear();
  for (int i = 0; i < 4; ++i) {
    auto ticket = admission_.Admit(1, now_ + absl::Milliseconds(1));
    ASSERT_TRUE(ticket.ok()) << i;
    tickets_.push_back(*std::move(ticket));
  }
  EXPECT_FALSE(admission_.Admit(1, now_ + absl::Milliseconds(1)).ok());
}

TEST_F(AdmissionDeadlineTest, TheRetryTimeIsHowLongTheImagesInFlightTake) {
  Fill();
  for (Admission::Ticket& ticket : tickets_) {
    now_ += absl::Milliseconds(20);
    ticket.Release(Admission::Ending::kInspected);
  }
  tickets_.clear();
  Fill();
  EXPECT_EQ(admission_.drain_time(), absl::Milliseconds(80));
}

TEST(AdmissionTest, RefusesEveryImageAfterStop) {
  Metrics metrics;
  Admission admission({}, metrics);
  admission.Stop();
  const absl::Status refused = admission.Admit(1).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(GetDetails(refused).reason, "DRAINING");
}

TEST(AdmissionTest, AwaitIdleReturnsWhenTheLastTicketIsReleased) {
  Metrics metrics;
  Admission admission({}, metrics);
  auto ticket = admission.Admit(1);
  ASSERT_TRUE(ticket.ok());
  EXPECT_FALSE(admission.AwaitIdle(absl::InfinitePast()));
  std::thread releases([&ticket] { ticket->Release(); });
  EXPECT_TRUE(admission.AwaitIdle(absl::InfiniteFuture()));
  releases.join();
}

TEST(AdmissionTest, NeverExceedsItsLimitsUnderManyThreads) {
  Metrics metrics;
  Admission admission({.max_images = 3, .max_bytes = 30}, metrics);
  std::vector<std::thread> threads;
  std::atomic<int> admitted = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        auto ticket = admission.Admit(10);
        if (!ticket.ok()) continue;
        ++admitted;
        EXPECT_LE(admission.in_flight(), 3);
        EXPECT_LE(admission.bytes(), 30);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(admitted.load(), 0);
  EXPECT_EQ(admission.in_flight(), 0);
  EXPECT_EQ(admission.bytes(), 0);
}

TEST(DrainEstimateTest, IsASecondBeforeTheFirstAnswer) {
  EXPECT_EQ(DrainEstimate().For(10), absl::Seconds(1));
}

TEST(DrainEstimateTest, IsTheIntervalTimesTheImagesInFlight) {
  DrainEstimate estimate;
  const absl::Time start = absl::FromUnixSeconds(1'000);
  for (int i = 1; i <= 50; ++i) estimate.Ended(start, start + i * absl::Milliseconds(20));
  EXPECT_NEAR(absl::ToDoubleSeconds(estimate.For(10)), 0.2, 1e-6);
}

TEST(DrainEstimateTest, IdleTimeIsNotProcessingTime) {
  DrainEstimate estimate;
  absl::Time now = absl::FromUnixSeconds(1'000);
  for (int i = 0; i < 10; ++i) {
    now += absl::Hours(1);
    estimate.Ended(now, now + absl::Milliseconds(30));
  }
  EXPECT_NEAR(absl::ToDoubleSeconds(estimate.For(2)), 0.06, 1e-6);
}

TEST(DrainEstimateTest, StaysWithinBounds) {
  const absl::Time start = absl::FromUnixSeconds(1'000);
  DrainEstimate fast;
  fast.Ended(start, start);
  EXPECT_EQ(fast.For(1), absl::Milliseconds(10));
  DrainEstimate slow;
  slow.Ended(start, start + absl::Minutes(1));
  EXPECT_EQ(slow.For(100), absl::Seconds(30));
  DrainEstimate backwards;  // the wall clock was set back
  backwards.Ended(start, start - absl::Seconds(5));
  EXPECT_EQ(backwards.For(1), absl::Milliseconds(10));
}

}  // namespace
}  // namespace proad::server
