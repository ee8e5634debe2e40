// Thresholds that are set after a version was published.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "absl/time/clock.h"
#include "server/serving/model_registry.h"
#include "server/util/status_details.h"
#include "tests/support/model_registry_fixture.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::WriteText;

class ModelCalibrationTest : public ModelRegistryFixture {
 protected:
  ModelCalibrationTest() {
    for (const char* version : {"1", "2"}) WriteFakeVersion(root_.path(), "pcb", version);
    WriteText(root_ / "pcb/active", "1\n");
    Start();
  }

  static Recalibrations Threshold(const std::string& category, double threshold) {
    return {
        {category,
         {.calibration = {threshold, 0.01, 100}, .created = absl::FromUnixSeconds(1'700'000'000)}}};
  }

  // Of "pcb", for a category; 0: none was set.
  static double InForce(const ModelRegistry& registry, const std::string& category) {
    const ModelHandle model = registry.Acquire("pcb").value();
    const RecalibrationsInForce all = registry.InForce(*model);
    if (all == nullptr || !all->contains(category)) return 0;
    return all->at(category).calibration.threshold;
  }
  double InForce(const std::string& category) { return InForce(*registry_, category); }

  const fs::path file_ = root_ / "pcb/.calibration/1.json";
};

TEST_F(ModelCalibrationTest, HoldsAtOnceAndAfterARestart) {
  const ModelHandle held = registry_->Acquire("pcb").value();
  EXPECT_EQ(registry_->InForce(*held), nullptr);
  ASSERT_TRUE(registry_->Recalibrate("pcb", "1", Threshold("gear", 0.3)).ok());
  ASSERT_TRUE(registry_->Recalibrate("pcb", "1", Threshold("nut", 0.4)).ok());
  EXPECT_EQ(registry_->Acquire("pcb").value(), held) << "nothing was loaded";
  EXPECT_EQ(InForce("gear"), 0.3);
  EXPECT_EQ(InForce("nut"), 0.4);
  ASSERT_TRUE(registry_->Recalibrate("pcb", "1", Threshold("gear", 0.5)).ok());
  EXPECT_EQ(InForce("gear"), 0.5);
  Start();
  EXPECT_EQ(InForce("gear"), 0.5);
  EXPECT_EQ(InForce("nut"), 0.4);
  EXPECT_EQ(registry_->Find("pcb@1")->recalibrated->size(), 2u);
}

TEST_F(ModelCalibrationTest, BelongsToItsVersionAndComesBackWithIt) {
  ASSERT_TRUE(registry_->Recalibrate("pcb", "1", Threshold("gear", 0.3)).ok());
  ASSERT_TRUE(registry_->Activate("pcb", "2", std::nullopt).ok());
  EXPECT_EQ(InForce("gear"), 0);
  ASSERT_TRUE(registry_->Activate("pcb", "1", std::nullopt).ok());
  EXPECT_EQ(InForce("gear"), 0.3);
}

TEST_F(ModelCalibrationTest, ServersOnTheSameStoreFollow) {
  ModelRegistry other({.memory = {{"cpu", [this] { return memory_; }}}}, store_, LoadFake,
                      metrics_);
  ASSERT_TRUE(other.Scan().ok());
  other.LoadActive([] {});
  ASSERT_TRUE(registry_->Recalibrate("pcb", "1", Threshold("gear", 0.3)).ok());
  EXPECT_EQ(InForce(other, "gear"), 0);
  other.Follow(absl::Now());
  EXPECT_EQ(InForce(other, "gear"), 0.3);
}

TEST_F(ModelCalibrationTest, GoesWithItsVersion) {
  ASSERT_TRUE(registry_->Recalibrate("pcb", "2", Threshold("gear", 0.3)).ok());
  EXPECT_TRUE(fs::exists(root_ / "pcb/.calibration/2.json"));
  ASSERT_TRUE(registry_->Delete("pcb", "2").ok());
  EXPECT_FALSE(fs::exists(root_ / "pcb/.calibration/2.json"));
}

TEST_F(ModelCalibrationTest, WhatIsDamagedDoesNotChangeWhatServesAndIsNotPassedOverLater) {
  ASSERT_TRUE(registry_->Recalibrate("pcb", "1", Threshold("gear", 0.3)).ok());
  WriteText(file_, "{");
  registry_->Follow(absl::Now());
  EXPECT_EQ(InForce("gear"), 0.3);
  // The published thresholds may let pass what somebody decided must not.
  Start();
  ExpectError("pcb", absl::StatusCode::kFailedPrecondition, "MODEL_FAILED", HasSubstr("1.json"));
  fs::remove(file_);
  EXPECT_TRUE(registry_->Activate("pcb", "1", std::nullopt).ok());
  EXPECT_EQ(InForce("gear"), 0);
}

TEST_F(ModelCalibrationTest, AnUnknownVersionIsNotFound) {
  EXPECT_EQ(registry_->Recalibrate("pcb", "7", {}).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(registry_->Recalibrate("brick", "1", {}).code(), absl::StatusCode::kNotFound);
}

TEST_F(ModelCalibrationTest, WhatCannotBeWrittenDownIsNotInForce) {
  WriteText(root_ / "pcb/.calibration", "in the way");
  EXPECT_FALSE(registry_->Recalibrate("pcb", "1", Threshold("gear", 0.3)).ok());
  EXPECT_EQ(InForce("gear"), 0);
}

}  // namespace
}  // namespace proad::server
