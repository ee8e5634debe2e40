// Thresholds that Calibrate sets after a version was published.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "absl/time/clock.h"
#include "server/serving/model_serving.h"
#include "server/util/status_details.h"
#include "tests/support/model_serving_fixture.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::WriteText;

class ThresholdsTest : public ModelServingFixture {
 protected:
  ThresholdsTest() {
    for (const char* version : {"1", "2"}) WriteFakeVersion(root_.path(), "pcb", version);
    WriteText(root_ / "pcb/active", "1\n");
    Start();
  }

  static Recalibrations Threshold(const std::string& category, double threshold) {
    return {
        {category,
         {.calibration = {threshold, 0.01, 100}, .created = absl::FromUnixSeconds(1'700'000'000)}}};
  }

  // The threshold of the active version of "pcb" for a category; 0: none was set.
  static double InForce(const ModelServing& models, const std::string& category) {
    const ModelHandle model = models.catalog.Acquire("pcb").value();
    const RecalibrationsInForce all = models.catalog.InForce(*model);
    if (all == nullptr || !all->contains(category)) return 0;
    return all->at(category).calibration.threshold;
  }
  double InForce(const std::string& category) { return InForce(*models_, category); }

  const fs::path file_ = root_ / "pcb/.calibration/1.json";
};

TEST_F(ThresholdsTest, ApplyAtOnceAndAfterARestart) {
  const ModelHandle held = models_->catalog.Acquire("pcb").value();
  EXPECT_EQ(models_->catalog.InForce(*held), nullptr);
  ASSERT_TRUE(models_->lifecycle.SetThresholds("pcb", "1", Threshold("gear", 0.3)).ok());
  ASSERT_TRUE(models_->lifecycle.SetThresholds("pcb", "1", Threshold("nut", 0.4)).ok());
  EXPECT_EQ(models_->catalog.Acquire("pcb").value(), held) << "nothing was loaded";
  EXPECT_EQ(InForce("gear"), 0.3);
  EXPECT_EQ(InForce("nut"), 0.4);
  ASSERT_TRUE(models_->lifecycle.SetThresholds("pcb", "1", Threshold("gear", 0.5)).ok());
  EXPECT_EQ(InForce("gear"), 0.5);
  Start();
  EXPECT_EQ(InForce("gear"), 0.5);
  EXPECT_EQ(InForce("nut"), 0.4);
  EXPECT_EQ(Find("pcb@1")->recalibrated->size(), 2u);
}

TEST_F(ThresholdsTest, BelongToTheirVersion) {
  ASSERT_TRUE(models_->lifecycle.SetThresholds("pcb", "1", Threshold("gear", 0.3)).ok());
  ASSERT_TRUE(models_->lifecycle.Activate("pcb", "2", std::nullopt).ok());
  EXPECT_EQ(InForce("gear"), 0);
  ASSERT_TRUE(models_->lifecycle.Activate("pcb", "1", std::nullopt).ok());
  EXPECT_EQ(InForce("gear"), 0.3);
}

TEST_F(ThresholdsTest, ApplyOnServersThatShareTheStore) {
  ModelServing other({.memory = {{"cpu", [this] { return memory_; }}}}, store_, LoadFake, metrics_);
  ASSERT_TRUE(other.scanner.Scan().ok());
  other.follower.LoadActive([] {});
  ASSERT_TRUE(models_->lifecycle.SetThresholds("pcb", "1", Threshold("gear", 0.3)).ok());
  EXPECT_EQ(InForce(other, "gear"), 0);
  other.follower.Follow(absl::Now());
  EXPECT_EQ(InForce(other, "gear"), 0.3);
}

TEST_F(ThresholdsTest, AreDeletedWithTheirVersion) {
  ASSERT_TRUE(models_->lifecycle.SetThresholds("pcb", "2", Threshold("gear", 0.3)).ok());
  EXPECT_TRUE(fs::exists(root_ / "pcb/.calibration/2.json"));
  ASSERT_TRUE(models_->lifecycle.Delete("pcb", "2").ok());
  EXPECT_FALSE(fs::exists(root_ / "pcb/.calibration/2.json"));
}

TEST_F(ThresholdsTest, ADamagedFileKeepsTheThresholdsInForceAndBlocksTheNextLoad) {
  ASSERT_TRUE(models_->lifecycle.SetThresholds("pcb", "1", Threshold("gear", 0.3)).ok());
  WriteText(file_, "{");
  models_->follower.Follow(absl::Now());
  EXPECT_EQ(InForce("gear"), 0.3);
  // The version must not serve with its published thresholds, which may be too high.
  Start();
  ExpectError("pcb", absl::StatusCode::kFailedPrecondition, "MODEL_FAILED", HasSubstr("1.json"));
  fs::remove(file_);
  EXPECT_TRUE(models_->lifecycle.Activate("pcb", "1", std::nullopt).ok());
  EXPECT_EQ(InForce("gear"), 0);
}

TEST_F(ThresholdsTest, OfAnUnknownVersionAreNotFound) {
  EXPECT_EQ(models_->lifecycle.SetThresholds("pcb", "7", {}).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(models_->lifecycle.SetThresholds("brick", "1", {}).code(), absl::StatusCode::kNotFound);
}

TEST_F(ThresholdsTest, AreNotInForceWhenTheFileCannotBeWritten) {
  WriteText(root_ / "pcb/.calibration", "in the way");
  EXPECT_FALSE(models_->lifecycle.SetThresholds("pcb", "1", Threshold("gear", 0.3)).ok());
  EXPECT_EQ(InForce("gear"), 0);
}

}  // namespace
}  // namespace proad::server
