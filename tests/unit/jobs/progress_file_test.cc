#include "server/jobs/progress_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

using model::TrainPhase;
using proad::testing::ReadText;
using proad::testing::TempDirectory;
using proad::testing::WriteText;

const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

model::TrainProgress AtStep(int64_t step, TrainPhase phase = TrainPhase::kTraining) {
  model::TrainProgress progress;
  progress.phase = phase;
  progress.step = step;
  return progress;
}

std::vector<int64_t> StepsIn(const std::filesystem::path& path) {
  std::vector<int64_t> steps;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    const auto record = ParseProgress(line);
    steps.push_back(record ? record->train.step : -1);
  }
  return steps;
}

void Append(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::app) << text;
}

TEST(ProgressFile, LineHoldsAllFields) {
  ProgressRecord record{.sequence = 7, .time = kStart + absl::Nanoseconds(1), .train = {}};
  record.train = {.phase = TrainPhase::kEvaluating,
                  .epoch = 1,
                  .epochs = 2,
                  .step = 3,
                  .steps = 4,
                  .loss = 0.1,
                  .learning_rate = 1e-3,
                  .images_per_second = 12.5,
                  .eta_seconds = 3.25,
                  .checkpoint_step = 5,
                  .train_images = 6,
                  .device = "cuda:0",
                  .done = 8,
                  .total = 9};
  const std::string line = FormatProgress(record);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto parsed = ParseProgress(line);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(FormatProgress(*parsed), line);
  EXPECT_EQ(parsed->time, record.time);
  EXPECT_EQ(parsed->train.phase, TrainPhase::kEvaluating);
  EXPECT_EQ(parsed->train.eta_seconds, 3.25);
  EXPECT_EQ(parsed->train.device, "cuda:0");
  EXPECT_EQ(parsed->train.total, 9);
}

TEST(ProgressFile, NumbersThatAreNotFiniteBecomeZero) {
  ProgressRecord record;
  record.train.loss = std::nan("");
  record.train.images_per_second = std::numeric_limits<double>::infinity();
  record.train.eta_seconds = std::numeric_limits<double>::infinity();
  const auto parsed = ParseProgress(FormatProgress(record));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->train.loss, 0);
  EXPECT_EQ(parsed->train.images_per_second, 0);
  EXPECT_FALSE(parsed->train.eta_seconds);
}

TEST(ProgressFile, OtherTextIsNotALine) {
  const std::string line = FormatProgress({});
  for (size_t size = 0; size < line.size(); ++size) {
    EXPECT_FALSE(ParseProgress(line.substr(0, size))) << size;
  }
  EXPECT_FALSE(ParseProgress("[]"));
  EXPECT_FALSE(ParseProgress("{\"sequence\":1}"));
}

TEST(ProgressFile, WriterLimitsItsRateExceptForANewPhaseAndTheLastReport) {
  const TempDirectory directory;
  const auto path = directory / "progress.jsonl";
  {
    ProgressWriter writer(path, {.interval = absl::Milliseconds(100)});
    writer.Report(AtStep(0, TrainPhase::kPreparing), kStart);
    for (int i = 1; i <= 50; ++i) writer.Report(AtStep(i), kStart + absl::Milliseconds(10) * i);
    EXPECT_EQ(StepsIn(path), (std::vector<int64_t>{0, 1, 11, 21, 31, 41}));
    writer.Report(AtStep(51, TrainPhase::kPublishing), kStart + absl::Milliseconds(501));
    EXPECT_EQ(StepsIn(path), (std::vector<int64_t>{0, 1, 11, 21, 31, 41, 50, 51}))
        << "a phase must be seen when it begins, and the last report of the one before";
    writer.Report(AtStep(52, TrainPhase::kPublishing), kStart + absl::Milliseconds(502));
    EXPECT_EQ(StepsIn(path).back(), 51);
  }
  EXPECT_EQ(StepsIn(path).back(), 52) << "the last report must not be lost";
}

TEST(ProgressFile, NextAttemptCutsOffAnIncompleteLine) {
  const TempDirectory directory;
  const auto path = directory / "progress.jsonl";
  { ProgressWriter(path).Report(AtStep(1), kStart); }
  ProgressReader reader(path);
  ASSERT_TRUE(reader.Poll());
  Append(path, "{\"sequence\":2,\"ti");
  EXPECT_FALSE(reader.Poll()) << "half a line is no report";
  { ProgressWriter(path).Report(AtStep(5), kStart); }
  const auto record = reader.Poll();
  ASSERT_TRUE(record);
  EXPECT_EQ(record->train.step, 5);
  EXPECT_EQ(record->sequence, 2) << "the sequence continues over attempts";
  EXPECT_EQ(StepsIn(path), (std::vector<int64_t>{1, 5}));
}

TEST(ProgressFile, ReaderReturnsTheLastNewRecordOnce) {
  const TempDirectory directory;
  const auto path = directory / "progress.jsonl";
  ProgressReader reader(path);
  EXPECT_FALSE(reader.Poll()) << "there is no file yet";
  ProgressWriter writer(path, {.interval = absl::ZeroDuration()});
  for (int i = 1; i <= 3; ++i) writer.Report(AtStep(i), kStart);
  EXPECT_EQ(reader.Poll()->train.step, 3);
  EXPECT_FALSE(reader.Poll());
  writer.Report(AtStep(4), kStart);
  EXPECT_EQ(reader.Poll()->train.step, 4);
  EXPECT_EQ(ProgressReader(path).Poll()->train.step, 4) << "a late reader sees where it stands";
}

TEST(ProgressFile, ReaderIgnoresLinesThatAreNotRecords) {
  const TempDirectory directory;
  const auto path = directory / "progress.jsonl";
  { ProgressWriter(path).Report(AtStep(1), kStart); }
  Append(path, "nonsense\n{}\n\n");
  EXPECT_EQ(ProgressReader(path).Poll()->train.step, 1);
  WriteText(path, std::string(300'000, 'x'));
  EXPECT_FALSE(ProgressReader(path).Poll());
}

TEST(ProgressFile, ReaderFollowsTheFileWhenTheWriterCompactsIt) {
  const TempDirectory directory;
  const auto path = directory / "progress.jsonl";
  constexpr int64_t kMaxBytes = 100'000;
  ProgressWriter writer(path, {.interval = absl::ZeroDuration(), .max_bytes = kMaxBytes});
  ProgressReader reader(path);
  int64_t read = 0;
  for (int64_t i = 1; i <= 2000; ++i) {
    writer.Report(AtStep(i), kStart);
    ASSERT_LT(std::filesystem::file_size(path), kMaxBytes + 1000);
    if (i % 7 != 0) continue;
    const auto record = reader.Poll();
    ASSERT_TRUE(record) << i;
    ASSERT_EQ(record->train.step, i);
    ++read;
  }
  EXPECT_EQ(read, 2000 / 7);
  for (const int64_t step : StepsIn(path)) EXPECT_GT(step, 0) << "a line was cut";
}

}  // namespace
}  // namespace proad::server
