#include "server/batching/verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

model::Manifest Calibrated(std::optional<double> whole,
                           const std::vector<std::pair<std::string, double>>& categories) {
  model::Manifest manifest;
  manifest.name = "board";
  manifest.version = "7";
  if (whole) manifest.calibration = model::Calibration{*whole, 0.01, 100};
  for (const auto& [name, threshold] : categories) {
    manifest.categories[name] = model::Calibration{threshold, 0.01, 100};
  }
  return manifest;
}

TEST(PickThresholdTest, Table) {
  struct Case {
    std::string name;
    model::Manifest manifest;
    std::string category;
    std::optional<double> requested;
    std::optional<double> value;
    ThresholdSource source;
  };
  const model::Manifest none = Calibrated(std::nullopt, {});
  const model::Manifest whole = Calibrated(0.3, {});
  const model::Manifest categories = Calibrated(std::nullopt, {{"pcb", 0.5}});
  const model::Manifest both = Calibrated(0.3, {{"pcb", 0.5}});
  const std::vector<Case> cases = {
      {"nothing known", none, "", {}, {}, ThresholdSource::kNone},
      {"nothing known of any category", none, "pcb", {}, {}, ThresholdSource::kNone},
      {"the request's alone", none, "", 0.7, 0.7, ThresholdSource::kRequest},
      {"the request's goes before all", both, "pcb", 0.7, 0.7, ThresholdSource::kRequest},
      {"the category's goes before the model's", both, "pcb", {}, 0.5, ThresholdSource::kCategory},
      {"no category asked for", both, "", {}, 0.3, ThresholdSource::kModel},
      {"any category of an uncategorised model", whole, "pcb", {}, 0.3, ThresholdSource::kModel},
      {"no category, and only categories known", categories, "", {}, {}, ThresholdSource::kNone},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto threshold = PickThreshold(c.manifest, nullptr, c.category, c.requested);
    ASSERT_TRUE(threshold.ok()) << threshold.status();
    EXPECT_EQ(threshold->value, c.value);
    EXPECT_EQ(threshold->source, c.source);
  }
}

TEST(PickThresholdTest, RecalibratedThresholdsReplacePublishedOnes) {
  const auto set = [](double threshold) {
    return Recalibration{.calibration = {threshold, 0.01, 100}};
  };
  const model::Manifest manifest = Calibrated(0.3, {{"pcb", 0.5}, {"gear", 0.2}});
  const Recalibrations since = {{"pcb", set(0.6)}, {"nut", set(0.7)}};
  const auto pick = [&](const std::string& category, std::optional<double> requested = {}) {
    return PickThreshold(manifest, &since, category, requested).value();
  };
  EXPECT_EQ(pick("pcb").value, 0.6);
  EXPECT_EQ(pick("pcb").source, ThresholdSource::kCategory);
  EXPECT_EQ(pick("gear").value, 0.2) << "not touched";
  EXPECT_EQ(pick("nut").value, 0.7) << "a category that the version did not know";
  EXPECT_EQ(pick("").value, 0.3);
  EXPECT_EQ(pick("pcb", 0.9).value, 0.9);
  EXPECT_THAT(std::string(PickThreshold(manifest, &since, "bolt", {}).status().message()),
              HasSubstr("knows gear, nut, pcb"));
  const Recalibrations of_all = {{"", set(0.4)}};
  EXPECT_EQ(PickThreshold(manifest, &of_all, "", {})->value, 0.4);
  EXPECT_EQ(PickThreshold(Calibrated({}, {}), &of_all, "anything", {})->value, 0.4);
}

TEST(PickThresholdTest, AMisspeltCategoryIsRefusedEvenWithAThreshold) {
  const model::Manifest manifest = Calibrated(0.3, {{"pcb", 0.5}, {"gear", 0.2}});
  for (const std::optional<double> requested : {std::optional<double>(), std::optional(0.7)}) {
    const absl::Status status = PickThreshold(manifest, nullptr, "pbc\n", requested).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("pbc"), HasSubstr("board@7"),
                                                     HasSubstr("gear, pcb"), Not(HasSubstr("\n"))));
    EXPECT_EQ(GetDetails(status).field, "category");
    EXPECT_EQ(GetDetails(status).reason, "CATEGORY_NOT_FOUND");
  }
}

TEST(PickThresholdTest, ListsABoundedNumberOfCategories) {
  std::vector<std::pair<std::string, double>> categories;
  for (int i = 0; i < 1000; ++i) categories.emplace_back(absl::StrCat("category-", i), 0.5);
  const absl::Status status =
      PickThreshold(Calibrated({}, categories), nullptr, "other", std::nullopt).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("and 980 more"));
  EXPECT_LT(status.message().size(), 1000u);
}

TEST(VerdictTest, Table) {
  const Threshold none;
  const Threshold half{0.5, ThresholdSource::kModel};
  EXPECT_EQ(Decide(0.0, none), Verdict::kUndecided);
  EXPECT_EQ(Decide(2.0, none), Verdict::kUndecided);
  EXPECT_EQ(Decide(std::nextafter(0.5, 0.0), half), Verdict::kNormal);
  EXPECT_EQ(Decide(0.5, half), Verdict::kAnomalous);
  EXPECT_EQ(Decide(0.6, half), Verdict::kAnomalous);
  EXPECT_NE(Decide(std::nan(""), half), Verdict::kNormal);
  EXPECT_NE(Decide(std::nan(""), none), Verdict::kNormal);
}

TEST(VerdictTest, NormalizedScore) {
  const Threshold half{0.5, ThresholdSource::kModel};
  EXPECT_EQ(NormalizedScore(0.3, Threshold()), std::nullopt);
  EXPECT_EQ(NormalizedScore(0.0, half), 0.0);
  EXPECT_EQ(NormalizedScore(0.5, half), 0.5);
  EXPECT_EQ(NormalizedScore(0.25, half), 0.25);
  EXPECT_EQ(NormalizedScore(1.7, half), 1.0);
}

}  // namespace
}  // namespace proad::server
