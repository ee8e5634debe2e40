#include "server/batching/sojourn_estimate.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace proad::server {
namespace {

constexpr absl::Duration kStep = absl::Milliseconds(1);

// A server whose answers take `start`, and `slope` more for each image ahead.
absl::Duration Line(absl::Duration start, absl::Duration slope, int64_t ahead) {
  return start + slope * ahead;
}

TEST(SojournEstimateTest, KnowsNothingBeforeTheFirstAnswer) {
  EXPECT_FALSE(SojournEstimate().AtMost(0).has_value());
  EXPECT_FALSE(SojournEstimate().AtMost(100).has_value());
}

TEST(SojournEstimateTest, TakesTimesToBeProportionalAfterTheFirstAnswer) {
  SojournEstimate estimate;
  estimate.Answered(0, 10 * kStep);
  EXPECT_GE(*estimate.AtMost(0), 10 * kStep);
  EXPECT_GE(*estimate.AtMost(9), 100 * kStep);
}

TEST(SojournEstimateTest, FindsTheLine) {
  SojournEstimate estimate;
  for (int i = 0; i < 1000; ++i) {
    const int64_t ahead = i % 16;
    estimate.Answered(ahead, Line(20 * kStep, 3 * kStep, ahead));
  }
  for (const int64_t ahead : {0, 8, 40}) {
    const absl::Duration truth = Line(20 * kStep, 3 * kStep, ahead);
    EXPECT_GE(*estimate.AtMost(ahead), 0.95 * truth) << ahead;
    EXPECT_LE(*estimate.AtMost(ahead), 1.2 * truth) << ahead;
  }
}

// A factory's rhythm: bursts, and nothing in between. The device takes eight at once, 10 ms each
// time.
TEST(SojournEstimateTest, ABurstOfWhichAllCanBeAnsweredInTimeIsSeenAsThat) {
  SojournEstimate estimate;
  for (int burst = 0; burst < 20; ++burst) {
    for (int64_t ahead = 0; ahead < 20; ++ahead) {
      estimate.Answered(ahead, 10 * kStep * (1 + (ahead + 7) / 8));
    }
  }
  EXPECT_LE(*estimate.AtMost(19), 60 * kStep);
  EXPECT_GE(*estimate.AtMost(19), 40 * kStep);
}

TEST(SojournEstimateTest, LeavesRoomForTheSlowOnesWhereTimesVary) {
  SojournEstimate estimate;
  for (int i = 0; i < 500; ++i) {
    for (const absl::Duration took : {50 * kStep, 150 * kStep}) estimate.Answered(4, took);
  }
  EXPECT_GE(*estimate.AtMost(4), 150 * kStep);
  EXPECT_LE(*estimate.AtMost(4), 300 * kStep);
}

TEST(SojournEstimateTest, ForgetsWhatWasLongAgo) {
  SojournEstimate estimate;
  for (int i = 0; i < 100; ++i) estimate.Answered(4, absl::Seconds(10));
  for (int i = 0; i < 500; ++i) estimate.Answered(4, 10 * kStep);
  EXPECT_LE(*estimate.AtMost(4), 50 * kStep);
}

TEST(SojournEstimateTest, WhatExpiredRaisesItAndImpatienceDoesNotLowerIt) {
  SojournEstimate estimate;
  for (int i = 0; i < 100; ++i) estimate.Answered(4, 100 * kStep);
  const absl::Duration before = *estimate.AtMost(4);
  for (int i = 0; i < 100; ++i) estimate.GivenUp(4, kStep);
  EXPECT_EQ(*estimate.AtMost(4), before);
  for (int i = 0; i < 100; ++i) estimate.GivenUp(4, 200 * kStep);
  EXPECT_GE(*estimate.AtMost(4), 150 * kStep);
}

TEST(SojournEstimateTest, MoreAheadNeverSeemsFaster) {
  SojournEstimate estimate;
  for (int i = 0; i < 100; ++i) {
    estimate.Answered(0, 100 * kStep);
    estimate.Answered(10, 10 * kStep);
  }
  EXPECT_LE(*estimate.AtMost(0), *estimate.AtMost(10));
}

TEST(SojournEstimateTest, AClockThatWasSetBackIsNoTime) {
  SojournEstimate estimate;
  estimate.Answered(0, -absl::Hours(1));
  EXPECT_GE(*estimate.AtMost(0), absl::ZeroDuration());
}

}  // namespace
}  // namespace proad::server
