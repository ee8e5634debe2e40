// Formatting of jobs and parsing of options, without a server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "client/cli/job_text.h"
#include "client/cli/table.h"
#include "client/cli/train_options.h"

namespace proad::client {
namespace {

using ::testing::HasSubstr;

proad::v1::TrainJob RunningJob() {
  proad::v1::TrainJob job;
  job.set_state(proad::v1::TRAIN_JOB_STATE_RUNNING);
  auto& progress = *job.mutable_progress();
  progress.set_phase(proad::v1::TRAIN_PHASE_TRAINING);
  progress.set_epoch(3);
  progress.set_epochs(10);
  progress.set_step(50);
  progress.set_steps(200);
  progress.set_loss(0.125);
  progress.set_learning_rate(1e-3);
  progress.set_images_per_second(38.25);
  progress.mutable_eta()->set_seconds(80);
  return job;
}

TEST(ProgressBar, OmitsTheLeastImportantValues) {
  const auto job = RunningJob();
  EXPECT_EQ(ProgressBar(job, 200),
            "training  epoch 3/10  [#######.......................]   25%  step 50/200  loss "
            "0.1250  lr 1.0e-03  38.2 images/s  ETA 1m20s");
  EXPECT_EQ(ProgressBar(job, 80),
            "training  epoch 3/10  [##........]   25%  loss 0.1250  38.2 images/s  ETA 1m20s");
  EXPECT_EQ(ProgressBar(job, 40), "training  epoch 3/10  loss 0.1250");
  EXPECT_EQ(ProgressBar(job, 10), "training");
  EXPECT_EQ(ProgressBar(job, 5), "trai");
  for (size_t width = 1; width < 200; ++width) {
    EXPECT_LE(DisplayWidth(ProgressBar(job, width)), std::max<size_t>(width, 2) - 1) << width;
  }
  EXPECT_EQ(ProgressText(job),
            "training  epoch 3/10  step 50/200  loss 0.1250  lr 1.0e-03  38.2 images/s  ETA 1m20s");
}

TEST(ProgressBar, ShowsTheActivityOutsideOfTraining) {
  auto job = RunningJob();
  job.mutable_progress()->set_phase(proad::v1::TRAIN_PHASE_EVALUATING);
  EXPECT_EQ(ProgressBar(job, 200), "evaluating  38.2 images/s  ETA 1m20s");
  job.set_state(proad::v1::TRAIN_JOB_STATE_QUEUED);
  job.set_queue_position(2);
  EXPECT_EQ(ProgressBar(job, 200), "queued, 2 before it");
  job.set_state(proad::v1::TRAIN_JOB_STATE_CANCELLED);
  EXPECT_EQ(ProgressText(job), "cancelled");
}

TEST(ShortDuration, HasAtMostTwoUnits) {
  EXPECT_EQ(ShortDuration(absl::Milliseconds(900)), "0s");
  EXPECT_EQ(ShortDuration(absl::Seconds(59)), "59s");
  EXPECT_EQ(ShortDuration(absl::Seconds(80)), "1m20s");
  EXPECT_EQ(ShortDuration(absl::Minutes(125)), "2h05m");
  EXPECT_EQ(ShortDuration(absl::Hours(76)), "3d04h");
  EXPECT_EQ(ShortDuration(absl::Seconds(-1)), "0s");
}

TEST(ParseMinimum, ReadsMetricCategoryAndValue) {
  for (const char* const text : {"aupro/a/b>=0.25", "aupro/a/b=0.25"}) {
    const auto minimum = ParseMinimum(text);
    ASSERT_TRUE(minimum.ok()) << minimum.status();
    EXPECT_EQ(minimum->name(), "aupro");
    EXPECT_EQ(minimum->category(), "a/b");
    EXPECT_DOUBLE_EQ(minimum->minimum(), 0.25);
  }
  EXPECT_EQ(ParseMinimum("image_auroc>=1")->category(), "");
  for (const char* const text : {"", "aupro", "aupro>=", ">=0.5", "=0.5", "aupro>=high"}) {
    const auto status = ParseMinimum(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("image_auroc>=0.9")) << text;
  }
  for (const char* const text : {"aupro>=1.5", "aupro>=-0.5", "aupro>=nan"}) {
    EXPECT_THAT(std::string(ParseMinimum(text).status().message()), HasSubstr("0 and 1")) << text;
  }
}

}  // namespace
}  // namespace proad::client
