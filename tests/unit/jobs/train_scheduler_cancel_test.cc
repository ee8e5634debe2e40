// Jobs that are cancelled and resumed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/spec/last_checkpoint.h"
#include "model/training/train_run.h"
#include "server/jobs/job_files.h"
#include "server/jobs/train_scheduler.h"
#include "server/util/status_details.h"
#include "tests/support/fake_trainer.h"
#include "tests/support/temp_directory.h"
#include "tests/support/train_scheduler_fixture.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;
using namespace proad::testing;  // NOLINT: the labels
using model::TrainPhase;
using ::testing::HasSubstr;

TEST_F(TrainSchedulerTest, CancelledQueuedJobNeverRuns) {
  Start();
  const std::string running = Create({{kFakeHoldAt, "0"}});
  AwaitStep(running, 0);
  const std::string id = Create({});
  const auto cancelled = scheduler_->Cancel(id);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(cancelled->state, JobState::kCancelled);
  EXPECT_EQ(cancelled->reason_code, "CANCELLED_BY_USER");
  EXPECT_NE(cancelled->reason, "");
  EXPECT_NE(cancelled->ended, absl::InfinitePast());
  EXPECT_EQ(scheduler_->Cancel(id)->state, JobState::kCancelled) << "a second Cancel succeeds";

  Release(JobDirectory(running));
  AwaitEnd(running);
  EXPECT_EQ(scheduler_->Get(id)->attempts, 0);
  Restart();
  EXPECT_EQ(scheduler_->Get(id)->state, JobState::kCancelled);
}

TEST_F(TrainSchedulerTest, CancelledJobContinuesFromItsCheckpointWhenResumed) {
  Start();
  const std::string id = Create({{kFakeSteps, "5"}, {kFakeHoldAt, "2"}});
  AwaitStep(id, 2);
  EXPECT_EQ(scheduler_->Resume(id)->state, JobState::kRunning)
      << "Resume does not change a running job";
  const auto cancelled = scheduler_->Cancel(id);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(cancelled->state, JobState::kCancelled);
  EXPECT_EQ(TrainerOf(id), 0) << "the trainer has exited when Cancel returns";

  Release(JobDirectory(id));
  ASSERT_TRUE(scheduler_->Resume(id).ok());
  const TrainJob job = AwaitEnd(id);
  EXPECT_EQ(job.state, JobState::kSucceeded) << job.reason;
  EXPECT_EQ(job.attempts, 2);
  EXPECT_EQ(Attempts(id), "0\n2\n");
  EXPECT_EQ(scheduler_->Resume(id).status().code(), absl::StatusCode::kFailedPrecondition);
  const auto late = scheduler_->Cancel(id);
  EXPECT_EQ(late.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetDetails(late.status()).reason, "JOB_WRONG_STATE");
  EXPECT_THAT(std::string(late.status().message()), HasSubstr("SUCCEEDED"));
}

TEST_F(TrainSchedulerTest, TrainerThatIgnoresSigtermIsKilledAfterTheGrace) {
  options_.stop_grace = absl::Milliseconds(50);
  Start();
  const std::string id = Create({{kFakeHoldAt, "1"}, {kFakeDeaf, ""}});
  AwaitStep(id, 1);
  // Concurrent calls get the same answer.
  absl::StatusOr<TrainJob> other = absl::UnknownError("");
  std::thread second([&] { other = scheduler_->Cancel(id); });
  const auto cancelled = scheduler_->Cancel(id);
  second.join();
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(cancelled->state, JobState::kCancelled);
  EXPECT_EQ(other->state, JobState::kCancelled);
  EXPECT_EQ(TrainerOf(id), 0);
}

TEST_F(TrainSchedulerTest, PublishingJobCannotBeCancelled) {
  options_.stop_grace = absl::ZeroDuration();
  Start();
  const std::string id = Create({{kFakeHoldPublishing, ""}});
  AwaitPhase(id, TrainPhase::kPublishing);
  const auto refused = scheduler_->Cancel(id);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetDetails(refused.status()).reason, "JOB_WRONG_STATE");
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("publishing"));
  EXPECT_EQ(scheduler_->Get(id)->state, JobState::kRunning);
  Release(JobDirectory(id));
  EXPECT_EQ(AwaitEnd(id).state, JobState::kSucceeded);
}

TEST_F(TrainSchedulerTest, JobWithADamagedCheckpointIsNotResumed) {
  Start();
  const std::string id = Create({{kFakeHoldAt, "1"}});
  AwaitStep(id, 1);
  ASSERT_TRUE(scheduler_->Cancel(id).ok());
  const fs::path work = JobDirectory(id) / kWorkDirectory;
  WriteText(work / "state-1.safetensors", "weights");
  model::LastCheckpoint saved;
  saved.position.step = 1;
  saved.file = work / "state-1.safetensors";
  model::SetLastCheckpoint(work, saved);
  WriteText(work / "state-1.safetensors", "WEIGHTS");
  const auto refused = scheduler_->Resume(id);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kDataLoss) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr((work / "state-1.safetensors").string()));
  EXPECT_EQ(scheduler_->Get(id)->state, JobState::kCancelled);
  fs::remove(work / "state-1.safetensors");
  EXPECT_THAT(std::string(scheduler_->Resume(id).status().message()), HasSubstr("is missing"));

  WriteText(work / "state-1.safetensors", "weights");
  EXPECT_TRUE(scheduler_->Resume(id).ok()) << "the file is restored";
}

TEST_F(TrainSchedulerTest, FailedJobCannotBeCancelled) {
  Start();
  const std::string id = Create({{kFakeError, "INTERNAL"}});
  AwaitEnd(id);
  EXPECT_EQ(scheduler_->Cancel(id).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace proad::server
