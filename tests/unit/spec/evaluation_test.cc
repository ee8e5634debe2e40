#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "model/spec/gate.h"

namespace proad::model {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Evaluation Figures(double mean, double pcb) {
  return {.metrics = {{.name = "image_auroc", .value = mean, .images = 80},
                      {.name = "aupro", .value = 0.5, .images = 70},
                      {.name = "image_auroc", .category = "brick", .value = 0.9, .images = 40},
                      {.name = "image_auroc", .category = "pcb", .value = pcb, .images = 40},
                      {.name = "aupro", .category = "pcb", .value = 0.5, .images = 40}}};
}

TEST(MetricNames, AreTheSevenFigures) {
  EXPECT_THAT(MetricNames(), ElementsAre("image_auroc", "image_ap", "image_f1_max", "pixel_auroc",
                                         "pixel_ap", "pixel_f1_max", "aupro"));
}

TEST(Find, DistinguishesTheMeanFromACategory) {
  const Evaluation evaluation = Figures(0.75, 0.6);
  ASSERT_NE(evaluation.Find("image_auroc", ""), nullptr);
  EXPECT_EQ(evaluation.Find("image_auroc", "")->value, 0.75);
  ASSERT_NE(evaluation.Find("image_auroc", "pcb"), nullptr);
  EXPECT_EQ(evaluation.Find("image_auroc", "pcb")->value, 0.6);
  EXPECT_EQ(evaluation.Find("aupro", "brick"), nullptr);
  EXPECT_EQ(evaluation.Find("image_ap", ""), nullptr);
}

struct Case {
  std::string name;
  Gate gate;
  Evaluation candidate;
  std::optional<Evaluation> active;
  std::vector<std::string> reasons;  // each a part of the reason; none: it passes
};

const Gate kNotWorse = {.not_worse_than_active = true};

std::vector<Case> Cases() {
  return {
      {"NothingAsked", {}, {}, {}, {}},
      {"Reached", {.minimums = {{"image_auroc", "", 0.75}}}, Figures(0.75, 0.6), {}, {}},
      {"Missed",
       {.minimums = {{"image_auroc", "", 0.8}}},
       Figures(0.75, 0.6),
       {},
       {"the mean image_auroc is 0.75", "but at least 0.8 is required"}},
      {"BarelyMissedStillShowsTwoFigures",
       {.minimums = {{"image_auroc", "", 0.7}}},
       Figures(0.69999999, 0.6),
       {},
       {"is 0.69999999,", "but at least 0.7 is required"}},
      {"OfACategory",
       {.minimums = {{"image_auroc", "brick", 0.9}, {"image_auroc", "pcb", 0.65}}},
       Figures(0.75, 0.6),
       {},
       {"image_auroc of pcb is 0.6, but at least 0.65"}},
      {"EveryFailureIsListed",
       {.minimums = {{"image_auroc", "", 0.8}, {"aupro", "", 0.6}, {"image_auroc", "pcb", 0.65}}},
       Figures(0.75, 0.6),
       {},
       {"the mean image_auroc is 0.75", "; the mean aupro is 0.5, but at least 0.6",
        "; image_auroc of pcb is 0.6, but at least 0.65"}},
      {"AFigureThatIsMissingFails",
       {.minimums = {{"aupro", "brick", 0}}},
       Figures(0.75, 0.6),
       {},
       {"aupro of brick was not measured", "but at least 0 is required"}},
      {"WithoutFiguresNothingHolds",
       {.minimums = {{"image_auroc", "", 0}}},
       {},
       {},
       {"the mean image_auroc was not measured"}},
      {"AFigureThatIsNoNumberFails",
       {.minimums = {{"image_auroc", "", 0}}},
       Figures(kNan, 0.6),
       {},
       {"image_auroc is nan"}},
      {"NoActiveVersion", kNotWorse, Figures(0.1, 0.1), {}, {}},
      {"AsGoodAsActive", kNotWorse, Figures(0.75, 0.6), Figures(0.75, 0.9), {}},
      {"WorseThanActive",
       kNotWorse,
       Figures(0.75, 0.6),
       Figures(0.76, 0.1),
       {"the mean image_auroc is 0.75", "active version is 0.76"}},
      {"WithinTheTolerance",
       {.not_worse_than_active = true, .tolerance = 0.1},
       Figures(0.7, 0.6),
       Figures(0.8, 0.6),
       {}},
      {"BeyondTheTolerance",
       {.not_worse_than_active = true, .tolerance = 0.1},
       Figures(0.7, 0.6),
       Figures(0.801, 0.6),
       {"is 0.7,", "is 0.801, more than the tolerated 0.1"}},
      {"ComparesWhatTheMinimumsName",
       {.minimums = {{"image_auroc", "pcb", 0.5}, {"image_auroc", "pcb", 0.55}},
        .not_worse_than_active = true},
       Figures(0.1, 0.6),
       Figures(0.9, 0.6),
       {}},
      {"MinimumAndComparisonBothFail",
       {.minimums = {{"image_auroc", "pcb", 0.7}}, .not_worse_than_active = true},
       Figures(0.75, 0.6),
       Figures(0.75, 0.65),
       {"pcb is 0.6, but at least 0.7", "; image_auroc of pcb is 0.6", "version is 0.65"}},
      {"TheActiveVersionsFigureIsMissing",
       kNotWorse,
       Figures(0.75, 0.6),
       Evaluation{},
       {"the mean image_auroc is 0.75", "active version was not measured"}},
      {"TheComparedFigureIsMissing",
       kNotWorse,
       {},
       Figures(0.75, 0.6),
       {"the mean image_auroc was not measured", "active version is 0.75"}},
      {"AComparedFigureIsNoNumber",
       kNotWorse,
       Figures(kNan, 0.6),
       Figures(0.75, 0.6),
       {"is nan", "is 0.75"}},
  };
}

class Judging : public ::testing::TestWithParam<Case> {};

TEST_P(Judging, NamesFailedConditionsWithTheirFigures) {
  const Case& c = GetParam();
  const GateVerdict verdict = Judge(c.gate, c.candidate, c.active ? &*c.active : nullptr);
  EXPECT_EQ(verdict.passed, c.reasons.empty());
  EXPECT_EQ(verdict.reason.empty(), c.reasons.empty()) << verdict.reason;
  for (const std::string& words : c.reasons) EXPECT_THAT(verdict.reason, HasSubstr(words));
}

INSTANTIATE_TEST_SUITE_P(All, Judging, ::testing::ValuesIn(Cases()),
                         [](const auto& test) { return test.param.name; });

TEST(Judge, AMetricNamedTwiceIsComparedOnce) {
  const Gate gate = {.minimums = {{"image_auroc", "", 0.1}, {"image_auroc", "", 0.2}},
                     .not_worse_than_active = true};
  const Evaluation active = Figures(0.8, 0.6);
  EXPECT_THAT(Judge(gate, Figures(0.7, 0.6), &active).reason,
              AllOf(HasSubstr("0.8"), Not(HasSubstr(";"))));
}

}  // namespace
}  // namespace proad::model
