#include "model/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "model/error.h"

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

TEST(Calibrate, TakesTheLowestThresholdOfTheBudget) {
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
        // Rejected is a score at or above the threshold, as when detecting.
        const auto rejected = std::count_if(scores.begin(), scores.end(),
                                            [&](double score) { return score >= threshold; });
        EXPECT_LE(rejected, budget * n + 1e-9) << n << " " << budget << " " << distinct;
      }
    }
  }
}

TEST(Calibrate, NeighbouringScoresAreKeptApart) {
  const double above = std::nextafter(0.5, 1);
  EXPECT_EQ(Calibrate({0.5, above}, 0.5).threshold, above);
}

TEST(Calibrate, ThresholdIsAboveZero) {
  EXPECT_GT(Calibrate({0, 0, 0}, 0.5).threshold, 0);
  EXPECT_GT(CalibrateProvisional({-1e-9}, 0.5).threshold, 0);
}

TEST(Calibrate, SaysHowManyPicturesABudgetNeeds) {
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
    EXPECT_THAT(error.what(), HasSubstr("99 good pictures"));
    EXPECT_THAT(error.what(), HasSubstr("at least 100"));
  }
}

TEST(CalibrateProvisional, GuessesFromTooFewPicturesOnly) {
  const Calibration guess = CalibrateProvisional({1, 2, 0.5}, 0.01);
  EXPECT_DOUBLE_EQ(guess.threshold, 2.2);
  EXPECT_EQ(guess.images, 3);
  EXPECT_LT(guess.images, ImagesForBudget(guess.false_reject_budget));
  EXPECT_EQ(CalibrateProvisional(Scores(100), 0.01), Calibrate(Scores(100), 0.01));
}

TEST(Calibrate, RefusesWhatIsNoScoreAndNoBudget) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const auto expect_refused = [](std::vector<double> scores, double budget,
                                 const std::string& field, const std::string& reason) {
    for (const bool provisional : {false, true}) {
      try {
        provisional ? CalibrateProvisional(scores, budget) : Calibrate(scores, budget);
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
