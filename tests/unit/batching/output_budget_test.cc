#include "server/batching/output_budget.h"

#include <gtest/gtest.h>

#include <optional>
#include <utility>

#include "server/batching/output_size.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr absl::Duration kRetryAfter = absl::Milliseconds(40);

TEST(OutputBudgetTest, RefusesAtOnceBeyondTheLimit) {
  Metrics metrics;
  OutputBudget budget({.max_bytes = 100}, metrics);
  EXPECT_EQ(metrics.output_bytes_limit.Value(), 100);
  auto first = budget.Reserve(60, kRetryAfter);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->bytes(), 60);
  EXPECT_EQ(metrics.output_bytes.Value(), 60);
  const absl::Status refused = budget.Reserve(41, kRetryAfter).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetDetails(refused).reason, "OUTPUT_FULL");
  EXPECT_EQ(GetDetails(refused).retry_after, kRetryAfter);
  EXPECT_EQ(metrics.rejected.output_full.Value(), 1);
  const auto second = budget.Reserve(40, kRetryAfter);
  EXPECT_TRUE(second.ok()) << "exactly full";
  EXPECT_EQ(budget.bytes(), 100);
}

TEST(OutputBudgetTest, AReservationReturnsItsBytesOnce) {
  Metrics metrics;
  OutputBudget budget({.max_bytes = 100}, metrics);
  {
    OutputBudget::Reservation held = *budget.Reserve(70, kRetryAfter);
    held.ShrinkTo(80);
    EXPECT_EQ(budget.bytes(), 70) << "a reservation does not grow";
    held.ShrinkTo(30);
    EXPECT_EQ(budget.bytes(), 30);
    OutputBudget::Reservation moved = std::move(held);
    EXPECT_EQ(moved.bytes(), 30);
    moved = *budget.Reserve(50, kRetryAfter);
    EXPECT_EQ(budget.bytes(), 50) << "an assignment returns the bytes of its target";
  }
  EXPECT_EQ(budget.bytes(), 0);
  EXPECT_EQ(metrics.output_bytes.Value(), 0);
}

TEST(OutputSizeTest, FollowsFromTheRequest) {
  using model::HeatmapEncoding;
  EXPECT_EQ(MaxOutputBytes({}, 100, 10), 0);
  EXPECT_EQ(MaxOutputBytes({.heatmap = HeatmapEncoding::kFloat32}, 100, 10), 4000);
  EXPECT_EQ(MaxOutputBytes({.heatmap = HeatmapEncoding::kU16}, 100, 10), 2000);
  EXPECT_EQ(MaxOutputBytes({.heatmap = HeatmapEncoding::kU8}, 100, 10), 1000);
  EXPECT_GT(MaxOutputBytes({.heatmap = HeatmapEncoding::kPng16}, 100, 10), 2000);
  EXPECT_GT(MaxOutputBytes({.overlay = true}, 100, 10), 3000);
  const DetectOutputs both = {.heatmap = HeatmapEncoding::kFloat32, .overlay = true};
  EXPECT_LE(MaxOutputBytes(both, 100, 10), LargestOutputBytes(1000));
  EXPECT_LE(MaxOutputBytes(both, 5000, 5000), 9 * 25'000'000);
}

}  // namespace
}  // namespace proad::server
