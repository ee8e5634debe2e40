#include "server/batching/sojourn_estimate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <iterator>
#include <optional>
#include <random>
#include <utility>
#include <vector>

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
  // With a third for safety; farther than it has seen it thinks more of what is proportional.
  for (const auto& [ahead, most] : {std::pair(0, 1.4), {8, 1.6}, {40, 1.8}}) {
    const absl::Duration truth = Line(20 * kStep, 3 * kStep, ahead);
    EXPECT_GE(*estimate.AtMost(ahead), truth) << ahead;
    EXPECT_LE(*estimate.AtMost(ahead), most * truth) << ahead;
  }
}

// A factory's rhythm: bursts, and nothing in between. The device takes eight at once, 10 ms each
// time.
TEST(SojournEstimateTest, ABurstThatCanBeAnsweredInTimeIsEstimatedAsSuch) {
  SojournEstimate estimate;
  for (int burst = 0; burst < 20; ++burst) {
    for (int64_t ahead = 0; ahead < 20; ++ahead) {
      estimate.Answered(ahead, 10 * kStep * (1 + (ahead + 7) / 8));
    }
  }
  EXPECT_LE(*estimate.AtMost(19), 60 * kStep);
  EXPECT_GE(*estimate.AtMost(19), 40 * kStep);
}

TEST(SojournEstimateTest, TheMarginGrowsWithTheVariationOfTimes) {
  SojournEstimate estimate;
  for (int i = 0; i < 500; ++i) {
    for (const absl::Duration took : {50 * kStep, 150 * kStep}) estimate.Answered(4, took);
  }
  EXPECT_GE(*estimate.AtMost(4), 150 * kStep);
  EXPECT_LE(*estimate.AtMost(4), 300 * kStep);
}

TEST(SojournEstimateTest, OldAnswersLoseTheirWeight) {
  SojournEstimate estimate;
  for (int i = 0; i < 100; ++i) estimate.Answered(4, absl::Seconds(10));
  for (int i = 0; i < 500; ++i) estimate.Answered(4, 10 * kStep);
  EXPECT_LE(*estimate.AtMost(4), 50 * kStep);
}

TEST(SojournEstimateTest, ExpiredImagesRaiseTheEstimateAndShortDeadlinesDoNotLowerIt) {
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

TEST(SojournEstimateTest, AClockThatWasSetBackCountsAsZero) {
  SojournEstimate estimate;
  estimate.Answered(0, -absl::Hours(1));
  EXPECT_GE(*estimate.AtMost(0), absl::ZeroDuration());
}

// A CPU with two workers that take four at once, 60 ms for each, now faster and now slower by a
// fifth, and that stands still for `stall` in the middle; images come as fast as `per_second` for a
// minute, and each may take a second.
class OverloadedServer {
 public:
  OverloadedServer(double per_second, double stall) : per_second_(per_second), stall_(stall) {}

  void Run() {
    estimate_.Answered(0, absl::Seconds(0.06));  // it was calm before
    double next = Gap();
    while (next < kEnd) {
      // The worker that is free first, if it is before the next image comes.
      double& worker = *std::min_element(std::begin(free_at_), std::end(free_at_));
      if (!waiting_.empty() && std::max(worker, waiting_.front().came) < next) {
        StartBatch(worker);
        continue;
      }
      Finish(next);
      const std::optional<absl::Duration> wait = estimate_.AtMost(in_flight_);
      if (in_flight_ < 2 || !wait || *wait <= absl::Seconds(1)) {
        waiting_.push_back({next, in_flight_++});
      }
      next += Gap();
    }
  }

  double in_time_per_second() const { return in_time_ / kEnd; }
  int late() const { return late_; }

 private:
  static constexpr double kEnd = 60;
  struct Image {
    double came = 0;
    int64_t ahead = 0;
    double answered = 0;
  };

  double Uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }
  double Gap() { return -std::log(1 - Uniform()) / per_second_; }

  void StartBatch(double& worker) {
    const double start = std::max(worker, waiting_.front().came);
    std::vector<Image> batch;
    while (!waiting_.empty() && batch.size() < 4) {
      const Image image = waiting_.front();
      waiting_.pop_front();
      if (start > image.came + 1) {
        Finish(start);
        estimate_.GivenUp(image.ahead, absl::Seconds(1));
        --in_flight_;
        ++late_;
      } else {
        batch.push_back(image);
      }
    }
    speed_ = std::clamp(speed_ + 0.1 * (Uniform() - 0.5), 0.8, 1.2);
    worker = start + 0.06 * static_cast<double>(batch.size()) / speed_;
    if (start < kEnd / 2 && worker >= kEnd / 2) worker += stall_;
    for (Image& image : batch) {
      image.answered = worker;
      under_way_.push_back(image);
    }
  }

  // What is answered until `now`.
  void Finish(double now) {
    const auto first_later =
        std::stable_partition(under_way_.begin(), under_way_.end(),
                              [now](const Image& image) { return image.answered <= now; });
    std::for_each(under_way_.begin(), first_later, [this](const Image& image) {
      const double took = image.answered - image.came;
      estimate_.Answered(image.ahead, absl::Seconds(took));
      --in_flight_;
      ++(took <= 1 ? in_time_ : late_);
    });
    under_way_.erase(under_way_.begin(), first_later);
  }

  const double per_second_;
  const double stall_;
  std::mt19937_64 random_{1};
  SojournEstimate estimate_;
  double free_at_[2] = {0, 0};
  double speed_ = 1;
  std::deque<Image> waiting_;
  std::vector<Image> under_way_;
  int64_t in_flight_ = 0;
  int in_time_ = 0;
  int late_ = 0;
};

TEST(SojournEstimateTest, UnderOverloadAdmittedImagesAreAnsweredInTimeAndWorkersStayBusy) {
  for (const double per_second : {67, 333}) {
    OverloadedServer server(per_second, 0);
    server.Run();
    EXPECT_GE(server.in_time_per_second(), 0.9 * 2 / 0.06) << per_second;
    EXPECT_EQ(server.late(), 0) << per_second;
  }
}

TEST(SojournEstimateTest, AfterAStandstillImagesAreSoonAdmittedAgain) {
  OverloadedServer server(333, 0.5);
  server.Run();
  EXPECT_GE(server.in_time_per_second(), 0.9 * 2 / 0.06);
  EXPECT_LE(server.late(), 2 / 0.06) << "no more than were there when it stood still";
}

}  // namespace
}  // namespace proad::server
