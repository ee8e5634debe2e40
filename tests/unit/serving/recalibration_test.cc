#include "server/serving/recalibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

using ::testing::HasSubstr;

const std::string kHash(64, 'a');

class RecalibrationTest : public ::testing::Test {
 protected:
  testing::TempDirectory root_;
  const std::filesystem::path file_ = RecalibrationFile(root_ / "7");
  const Recalibrations thresholds_ = {
      {"", {.calibration = {0.1234567890123456789, 0.01, 200}, .rejected = 2}},
      {"pcb",
       {.calibration = {0.5, 0.05, 40}, .rejected = 1, .created = absl::FromUnixSeconds(1e9)}}};
};

TEST_F(RecalibrationTest, ReadsWhatWasWritten) {
  EXPECT_EQ(file_, root_ / ".calibration/7.json");
  EXPECT_TRUE(ReadRecalibrations(file_, kHash)->empty()) << "there is no file";
  Recalibrations thresholds = thresholds_;
  thresholds[""].created = absl::FromUnixSeconds(1'700'000'000);
  ASSERT_TRUE(WriteRecalibrations(file_, kHash, thresholds).ok());
  EXPECT_EQ(*ReadRecalibrations(file_, kHash), thresholds);
  EXPECT_TRUE(ReadRecalibrations(file_, std::string(64, 'b'))->empty())
      << "the file belongs to another version of that number";
}

TEST_F(RecalibrationTest, TheStampChangesWithTheFile) {
  EXPECT_EQ(StampOf(file_), std::nullopt);
  ASSERT_TRUE(WriteRecalibrations(file_, kHash, thresholds_).ok());
  const auto first = StampOf(file_);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(StampOf(file_), first);
  ASSERT_TRUE(WriteRecalibrations(file_, kHash, {}).ok());
  EXPECT_NE(StampOf(file_), first);
}

TEST_F(RecalibrationTest, ADamagedFileIsNamed) {
  ASSERT_TRUE(WriteRecalibrations(file_, kHash, thresholds_).ok());
  const std::string whole = testing::ReadText(file_);
  const auto damaged = [&](const std::string& text) {
    testing::WriteText(file_, text);
    return ReadRecalibrations(file_, kHash).status();
  };
  const auto replaced = [&whole](const std::string& what, const std::string& by) {
    std::string text = whole;
    text.replace(text.find(what), what.size(), by);
    return text;
  };
  for (const std::string& text :
       {std::string(), std::string("{"), whole.substr(0, whole.size() / 2),
        replaced("\"threshold\": 0.5", "\"threshold\": -0.5"),
        replaced("\"threshold\": 0.5", "\"threshold\": \"0.5\""),
        replaced("\"format\": 1", "\"format\": 2"), replaced("\"images\"", "\"pictures\"")}) {
    const absl::Status status = damaged(text);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("7.json")) << text;
  }
}

TEST_F(RecalibrationTest, AFailedWriteReturnsAnError) {
  testing::WriteText(root_ / ".calibration", "in the way");
  EXPECT_FALSE(WriteRecalibrations(file_, kHash, thresholds_).ok());
}

}  // namespace
}  // namespace proad::server
