#include "model/spec/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "model/files/error.h"

namespace proad::model {
namespace {

using ::testing::HasSubstr;

// 1, 2, ..., n, not in order.
std::vector<double> Scores(int n) {
  std::vector<double> scores;
  for (int i = 0; i < n; ++i) scores.push_back(1 + (i * 7919) % n);
  return scores;
}

struct Case {
  std::vector<double> scores;
  double budget;
  double threshold;
};

TEST(Calibrate, ReturnsTheLowestThresholdOfTheBudget) {
  const std::vector<Case> cases = {
      {Scores(10), 0.1, 9.5},                      // rejects 10
      {Scores(10), 0.19, 9.5},                     // of 1.9 pictures, one
      {Scores(10), 0.2, 8.5},                      //
      {Scores(10), 0.99, 1.5},                     // all but the lowest
      {Scores(100), 0.29, 71.5},                   // 0.29 * 100 is below 29 in binary
      {Scores(101), 0.01, 100.5},                  //
      {{1, 2, 3, 3}, 0.25, std::nextafter(3, 4)},  // one of the two cannot be rejected alone
      {{1, 3, 3, 4}, 0.5, 3.5},                    // nor can one of these
      {{1, 1, 3, 4}, 0.5, 2},                      //
      {{5, 5}, 0.5, std::nextafter(5, 6)},
  };
  for (const Case& test : cases) {
    const Calibration calibration = Calibrate(test.scores, test.budget);
    EXPECT_DOUBLE_EQ(calibration.threshold, test.threshold)
        << test.scores.size() << " scores, budget " << test.budget;
    EXPECT_EQ(calibration.false_reject_budget, test.budget);
    EXPECT_EQ(calibration.images, static_cast<int64_t>(test.scores.size()));
  }
}

TEST(Calibrate, NeverRejectsMoreThanTheBudget) {
  for (int n = 1; n <= 60; ++n) {
    for (const double budget : {0.02, 0.05, 0.1, 1.0 / 3, 0.5, 0.9}) {
      for (const int distinct : {1, 2, 5, 100}) {
        std::vector<double> scores = Scores(n);
        for (double& score : scores) score = std::fmod(score, distinct) / 7;
        if (n < ImagesForBudget(budget)) continue;
        const double threshold = Calibrate(scores, budget).threshold;
        // A score at or above the threshold is rejected, as in a detection.
        const auto rejected = std::count_if(scores.begin(), scores.end(),
                                            [&](double score) { return score >= threshold; });
        EXPECT_LE(rejected, budget * n + 1e-9) << n << " " << budget << " " << distinct;
      }
    }
  }
}

TEST(Calibrate, SeparatesNeighbouringScores) {
  const double above = std::nextafter(0.5, 1);
  EXPECT_EQ(Calibrate({0.5, above}, 0.5).threshold, above);
}

TEST(Calibrate, ThresholdIsAboveZero) {
  EXPECT_GT(Calibrate({0, 0, 0}, 0.5).threshold, 0);
  EXPECT_GT(CalibrateProvisional({{"", {-1e-9}}}, 0.5).at("").threshold, 0);
}

TEST(Calibrate, NamesTheImagesThatABudgetNeeds) {
  EXPECT_EQ(ImagesForBudget(0.01), 100);
  EXPECT_EQ(ImagesForBudget(0.015), 67);
  EXPECT_EQ(ImagesForBudget(0.5), 2);
  EXPECT_EQ(ImagesForBudget(0.1), 10);
  EXPECT_GT(ImagesForBudget(std::numeric_limits<double>::denorm_min()), 1'000'000'000);
  EXPECT_NO_THROW(Calibrate(Scores(100), 0.01));
  try {
    Calibrate(Scores(99), 0.01);
    FAIL();
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.field(), "good_scores");
    EXPECT_EQ(error.reason(), "TOO_FEW_IMAGES");
    EXPECT_THAT(error.what(), HasSubstr("99 good images"));
    EXPECT_THAT(error.what(), HasSubstr("at least 100"));
  }
}

TEST(CalibrateProvisional, IsProvisionalOnlyForTooFewImages) {
  const auto calibrations =
      CalibrateProvisional({{"few", {0.5, 0.6, 0.7}}, {"many", Scores(100)}}, 0.01);
  EXPECT_EQ(calibrations.at("many"), Calibrate(Scores(100), 0.01));
  const Calibration& guess = calibrations.at("few");
  EXPECT_GT(guess.threshold, 0.7 * (1 + kLeastMargin));
  EXPECT_EQ(guess.images, 3);
  EXPECT_LT(guess.images, ImagesForBudget(guess.false_reject_budget));
}

TEST(CalibrateProvisional, BoundsOneMoreGoodImage) {
  // Two categories of one relative spread: 4 + 4 free values, t(8, 0.01) = 2.896.
  const std::vector<double> scores = {0.90, 0.95, 1.00, 1.05, 1.10};
  std::vector<double> doubled;
  for (const double score : scores) doubled.push_back(2 * score);
  const auto calibrations = CalibrateProvisional({{"a", scores}, {"b", doubled}}, 0.01);
  const double margin = 2.896 * std::sqrt(0.025 / 4 * (1 + 1.0 / 5));
  EXPECT_NEAR(calibrations.at("a").threshold, 1 + margin, 2e-3);
  EXPECT_NEAR(calibrations.at("b").threshold, 2 * (1 + margin), 4e-3);
}

TEST(CalibrateProvisional, PoolsTheSpreadOfAllCategories) {
  const std::vector<double> wide = {0.5, 1.0, 1.5};
  const double with_wide =
      CalibrateProvisional({{"one", {1}}, {"wide", wide}}, 0.05).at("one").threshold;
  const double with_narrow =
      CalibrateProvisional({{"one", {1}}, {"narrow", {0.99, 1.0, 1.01}}}, 0.05).at("one").threshold;
  EXPECT_GT(with_wide, with_narrow);
  EXPECT_DOUBLE_EQ(with_narrow, 1 + kLeastMargin);
  EXPECT_DOUBLE_EQ(with_wide, 1 + kMostMargin);
  EXPECT_DOUBLE_EQ(CalibrateProvisional({{"one", {1}}}, 0.05).at("one").threshold,
                   1 + (kLeastMargin + kMostMargin) / 2);
}

TEST(Calibrate, RefusesInvalidScoresAndBudgets) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const auto expect_refused = [](std::vector<double> scores, double budget,
                                 const std::string& field, const std::string& reason) {
    for (const bool provisional : {false, true}) {
      try {
        if (provisional) {
          CalibrateProvisional({{"", scores}}, budget);
        } else {
          Calibrate(scores, budget);
        }
        FAIL() << reason;
      } catch (const InvalidInput& error) {
        EXPECT_EQ(error.field(), field);
        EXPECT_EQ(error.reason(), reason);
      }
    }
  };
  for (const double bad : {nan, infinity, -infinity})
    expect_refused({1, bad, 2}, 0.5, "good_scores", "SCORE_NOT_FINITE");
  for (const double bad : {0.0, 1.0, -0.1, 2.0, nan})
    expect_refused({1, 2, 3}, bad, "false_reject_budget", "OUT_OF_RANGE");
  expect_refused({}, 0.5, "good_scores", "TOO_FEW_IMAGES");
}

}  // namespace
}  // namespace proad::model
