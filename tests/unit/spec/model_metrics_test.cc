#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "model/files/error.h"
#include "model/spec/metrics.h"

namespace proad::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Rank, RanksGoodAndAnomalousScores) {
  const std::optional<RankingMetrics> apart = Rank({0.1f, 0.2f}, {0.3f, 0.4f});
  ASSERT_TRUE(apart.has_value());
  EXPECT_DOUBLE_EQ(apart->auroc, 1);
  EXPECT_DOUBLE_EQ(apart->average_precision, 1);
  EXPECT_DOUBLE_EQ(apart->f1_max, 1);

  // From the highest: good, anomalous, good, anomalous.
  const std::optional<RankingMetrics> mixed = Rank({4, 2}, {3, 1});
  ASSERT_TRUE(mixed.has_value());
  EXPECT_DOUBLE_EQ(mixed->auroc, 0.25);
  EXPECT_DOUBLE_EQ(mixed->average_precision, 0.5);  // 1/2 * 1/2 + 1/2 * 2/4
  EXPECT_DOUBLE_EQ(mixed->f1_max, 2.0 / 3);         // all four reported
}

TEST(Rank, EqualScoresGiveTheFiguresOfChance) {
  const std::optional<RankingMetrics> equal = Rank({1, 1, 1}, {1});
  ASSERT_TRUE(equal.has_value());
  EXPECT_DOUBLE_EQ(equal->auroc, 0.5);
  EXPECT_DOUBLE_EQ(equal->average_precision, 0.25);
  EXPECT_DOUBLE_EQ(equal->f1_max, 0.4);
}

TEST(Rank, IsAbsentWithOnlyOneKind) {
  EXPECT_FALSE(Rank({}, {}).has_value());
  EXPECT_FALSE(Rank({1, 2}, {}).has_value());
  EXPECT_FALSE(Rank({}, {1, 2}).has_value());
}

TEST(Rank, RefusesScoresThatAreNotFinite) {
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    for (const bool among_good : {true, false}) {
      std::vector<float> good = {1, 2};
      std::vector<float> anomalous = {3, 4};
      (among_good ? good : anomalous)[1] = bad;
      try {
        Rank(good, anomalous);
        FAIL() << bad;
      } catch (const InvalidInput& error) {
        EXPECT_EQ(error.field(), "scores");
        EXPECT_EQ(error.reason(), "SCORE_NOT_FINITE");
        EXPECT_THAT(error.what(), AllOf(HasSubstr("score 1"), HasSubstr("finite")));
      }
    }
  }
}

TEST(PixelMetrics, EveryRegionHasTheSameWeight) {
  // Two regions of 1 and 3 pixels and 10 good pixels. The scores of the small region are above all
  // good pixels, those of the large one above all but two.
  const std::vector<float> map = {9, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 5, 5};
  const std::vector<uint8_t> mask = {1, 0, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  PixelMetrics metrics;
  metrics.Add(map, mask, 14, 1);
  const std::optional<PixelReport> report = metrics.Finish();
  ASSERT_TRUE(report.has_value());
  // Overlap 1/2 up to a false-positive rate of 0.2, then 1; straight from there to (1, 1).
  EXPECT_NEAR(report->aupro, (0.2 * 0.5 + 0.1 * 1) / 0.3, 1e-12);
  EXPECT_NEAR(report->ranking.auroc, (10 + 3 * 8) / 40.0, 1e-12);
}

// Enough pixels for every branch of the sort: equal and single values, both signs and zeros.
TEST(PixelMetrics, RanksPixelsLikeScores) {
  constexpr int kSide = 160;
  std::vector<float> map;
  std::vector<uint8_t> mask;
  std::vector<float> good, defective;
  uint32_t state = 1;
  const auto next = [&state] { return (state = state * 1664525 + 1013904223) >> 8; };
  for (int i = 0; i < kSide * kSide; ++i) {
    const float fine = static_cast<float>(next()) * 0x1p-22f - 2;  // -2 to 2
    const float coarse = static_cast<float>(next() % 7) / 4 - 0.75f;
    const float tiny = std::ldexp(fine, -static_cast<int>(next() % 140));
    map.push_back(std::array<float, 4>{fine, coarse, tiny, -0.0f}[next() % 4]);
    mask.push_back(next() % 3 == 0);
    (mask.back() != 0 ? defective : good).push_back(map.back());
  }
  PixelMetrics metrics;
  metrics.Add(map, mask, kSide, kSide);
  const std::optional<PixelReport> report = metrics.Finish();
  const std::optional<RankingMetrics> expected = Rank(good, defective);
  ASSERT_TRUE(report.has_value() && expected.has_value());
  EXPECT_EQ(report->ranking.auroc, expected->auroc);
  EXPECT_EQ(report->ranking.average_precision, expected->average_precision);
  EXPECT_EQ(report->ranking.f1_max, expected->f1_max);
}

TEST(PixelMetrics, PixelsThatTouchAtACornerAreOneRegion) {
  // The diagonal is one region of two pixels, so each of the two regions has the weight 1/2. With
  // two regions on the diagonal, each of three would have 1/3.
  const std::vector<float> map = {3, 0, 0, 0,  //
                                  0, 0, 0, 0,  //
                                  0, 0, 0, 2};
  const std::vector<uint8_t> mask = {1, 0, 0, 0,  //
                                     0, 1, 0, 0,  //
                                     0, 0, 0, 1};
  PixelMetrics metrics;
  metrics.Add(map, mask, 4, 3);
  const std::optional<PixelReport> report = metrics.Finish();
  ASSERT_TRUE(report.has_value());
  // Overlap 3/4 at rate 0, then straight to (1, 1): at 0.3 it is 0.825.
  EXPECT_NEAR(report->aupro, (0.75 + 0.825) / 2, 1e-12);
}

TEST(PixelMetrics, AConstantMapGivesTheDiagonal) {
  PixelMetrics metrics;
  metrics.Add(std::vector<float>(16, 0.5f), {}, 4, 4);
  std::vector<uint8_t> mask(16, 0);
  mask[5] = 255;
  metrics.Add(std::vector<float>(16, 0.5f), mask, 4, 4);
  const std::optional<PixelReport> report = metrics.Finish();
  ASSERT_TRUE(report.has_value());
  EXPECT_DOUBLE_EQ(report->ranking.auroc, 0.5);
  EXPECT_NEAR(report->aupro, 0.15, 1e-12);
}

TEST(PixelMetrics, IsAbsentWithOnlyOneKindOfPixels) {
  PixelMetrics metrics;
  EXPECT_FALSE(metrics.Finish().has_value());
  metrics.Add(std::vector<float>(4, 1), {}, 2, 2);
  EXPECT_FALSE(metrics.Finish().has_value());
  metrics.Add(std::vector<float>(4, 1), std::vector<uint8_t>(4, 0), 2, 2);
  EXPECT_FALSE(metrics.Finish().has_value());
  metrics.Add(std::vector<float>(4, 1), std::vector<uint8_t>(4, 1), 2, 2);
  EXPECT_FALSE(metrics.Finish().has_value());
}

TEST(PixelMetrics, IsEmptyAfterFinish) {
  const std::vector<float> map = {1, 0, 0, 0};
  const std::vector<uint8_t> mask = {1, 0, 0, 0};
  PixelMetrics metrics;
  metrics.Add(std::vector<float>{0, 1, 1, 1}, mask, 2, 2);
  metrics.Finish();
  metrics.Add(map, mask, 2, 2);
  const std::optional<PixelReport> report = metrics.Finish();
  ASSERT_TRUE(report.has_value());
  EXPECT_DOUBLE_EQ(report->ranking.auroc, 1);
  EXPECT_DOUBLE_EQ(report->aupro, 1);
}

TEST(PixelMetrics, RefusesInvalidMapsAndAddsNothing) {
  const std::vector<uint8_t> mask = {1, 0, 0, 0};
  PixelMetrics metrics;
  const auto expect_refused = [&](std::vector<float> map, const std::vector<uint8_t>& with,
                                  int width, int height, const std::string& reason) {
    try {
      metrics.Add(map, with, width, height);
      FAIL() << reason;
    } catch (const InvalidInput& error) {
      EXPECT_EQ(error.reason(), reason) << error.what();
    }
  };
  expect_refused({1, 2, 3, kNan}, mask, 2, 2, "SCORE_NOT_FINITE");
  expect_refused({1, 2, 3}, {}, 2, 2, "SHAPE_MISMATCH");
  expect_refused({1, 2, 3, 4}, {1, 0}, 2, 2, "SHAPE_MISMATCH");
  expect_refused({}, {}, 0, 0, "SHAPE_MISMATCH");
  expect_refused({1, 2, 3, 4}, {}, -2, -2, "SHAPE_MISMATCH");
  EXPECT_FALSE(metrics.Finish().has_value());
}

}  // namespace
}  // namespace proad::model
