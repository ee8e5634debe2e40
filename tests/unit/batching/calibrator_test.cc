#include "server/batching/calibrator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/util/status_details.h"
#include "tests/support/dataset_files.h"
#include "tests/support/pictures.h"
#include "tests/support/pipeline.h"
#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class CalibratorTest : public ::testing::Test {
 protected:
  // Good parts of a category with these markers, which are their scores.
  void Add(const std::string& category, const std::vector<uint32_t>& markers) {
    for (const uint32_t marker : markers) {
      model::Sample sample;
      sample.category = category;
      sample.name = absl::StrCat(category, "/", marker, ".bmp");
      sample.path = root_ / absl::StrCat(category, "-", marker, ".bmp");
      testing::WriteText(sample.path, MarkedBmp(marker));
      good_.push_back(sample);
    }
  }

  absl::StatusOr<Recalibrations> Calibrate(double budget) {
    return Calibrator(pipeline_.detector).Calibrate("fake@1", good_, budget);
  }

  testing::TempDirectory root_;
  std::vector<model::Sample> good_;
  Pipeline pipeline_;
};

TEST_F(CalibratorTest, TheThresholdRejectsAtMostTheBudget) {
  Add("gear", {1 << 20, 2 << 20, 3 << 20, 4 << 20});
  Add("nut", {100, 200, 300, 400, 500, 600, 700, 800});
  const auto found = Calibrate(0.25);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->size(), 2u);
  const Recalibration& gear = found->at("gear");
  EXPECT_GT(gear.calibration.threshold, FakeScore(3 << 20));
  EXPECT_LE(gear.calibration.threshold, FakeScore(4 << 20));
  EXPECT_EQ(gear.calibration.images, 4);
  EXPECT_EQ(gear.calibration.false_reject_budget, 0.25);
  EXPECT_EQ(gear.rejected, 1);
  EXPECT_EQ(found->at("nut").rejected, 2);
  EXPECT_THAT(pipeline_.metrics.Serialize(), Not(HasSubstr("proad_verdicts_total{")))
      << "these are no verdicts on parts";
}

TEST_F(CalibratorTest, TooFewImagesAreRefusedBeforeAnyIsScored) {
  Add("gear", {1, 2, 3});
  const absl::Status status = Calibrate(0.1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("\"gear\" has 3 images"), HasSubstr("needs at least 10")));
  EXPECT_TRUE(pipeline_.model->Seen().empty());
}

TEST_F(CalibratorTest, TheMessageNamesADamagedImage) {
  Add("gear", {1, 2, 3, 4});
  testing::WriteText(good_[2].path, "no picture");
  const absl::Status status = Calibrate(0.5).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("gear/3.bmp"));
  EXPECT_EQ(GetDetails(status).field, "dataset");
}

TEST_F(CalibratorTest, TheMessageNamesAnImageOnWhichTheModelFails) {
  Add("gear", {1, 2, 3, 4});
  pipeline_.model->SetTwist([](const std::vector<uint32_t>& markers, FakeModel::Answers& answers) {
    if (markers.front() == 2) answers = absl::InternalError("it failed");
  });
  const absl::Status status = Calibrate(0.5).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("gear/2.bmp"));
}

TEST_F(CalibratorTest, DrainingEndsACalibration) {
  Add("gear", {1, 2, 3, 4});
  pipeline_.detector.Drain();
  EXPECT_EQ(Calibrate(0.5).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace proad::server
