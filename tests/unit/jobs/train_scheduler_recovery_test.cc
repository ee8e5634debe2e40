// Crashes of trainers and of servers, and how the scheduler continues after them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/types.h>

#include <filesystem>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "server/jobs/job_files.h"
#include "server/jobs/train_scheduler.h"
#include "server/telemetry/metrics.h"
#include "tests/support/fake_trainer.h"
#include "tests/support/sync.h"
#include "tests/support/train_scheduler_fixture.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;
using namespace proad::testing;  // NOLINT: the labels
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// ---------------------------------------------------------------- crashes of the trainer

TEST_F(TrainSchedulerTest, KilledTrainerIsRestartedFromItsCheckpoint) {
  Start();
  const std::string id = Create({{kFakeSteps, "4"}, {kFakeCrashAt, "2"}, {kFakeCrashes, "2"}});
  const TrainJob job = AwaitEnd(id);
  EXPECT_EQ(job.state, JobState::kSucceeded) << job.reason;
  EXPECT_EQ(job.attempts, 3);
  EXPECT_EQ(Attempts(id), "0\n2\n2\n");
}

TEST_F(TrainSchedulerTest, TrainerThatKeepsCrashingFailsTheJobWithTheEndOfItsLog) {
  Start();
  const std::string id = Create({{kFakeExit, "9"}});
  const TrainJob job = AwaitEnd(id);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.reason_code, "TRAINER_DIED");
  // Every attempt after the first began at the checkpoint of step 3 and got no further.
  EXPECT_EQ(job.attempts, 3);
  EXPECT_THAT(job.reason, AllOf(HasSubstr("3 times"), HasSubstr("step 3"), HasSubstr("exit code 9"),
                                HasSubstr(kFakeLogText)));
  ASSERT_TRUE(scheduler_->Resume(id).ok());
  EXPECT_EQ(AwaitEnd(id).attempts, 6) << "Resume resets the count of crashes";
}

TEST_F(TrainSchedulerTest, CrashesAtDifferentCheckpointsDoNotAddUp) {
  options_.max_crashes = 2;
  Start();
  const std::string id = Create({{kFakeSteps, "2"}, {kFakeHoldAt, "1"}});
  AwaitStep(id, 1);
  kill(TrainerOf(id), SIGKILL);
  Await(id, [](const TrainJob& job) { return job.attempts == 2; });
  Release(JobDirectory(id));
  EXPECT_EQ(AwaitEnd(id).state, JobState::kSucceeded);
}

TEST_F(TrainSchedulerTest, CrashesWithoutCheckpointsAddUp) {
  options_.max_crashes = 2;
  Start();
  const TrainJob job = AwaitEnd(Create({{kFakeCrashAt, "2"}, {kFakeForgetful, ""}}));
  EXPECT_EQ(job.reason_code, "TRAINER_DIED");
  EXPECT_EQ(job.attempts, 2);
  EXPECT_THAT(job.reason, AllOf(HasSubstr("signal 9"), HasSubstr("log is empty")));
}

// ---------------------------------------------------------------- crashes of the server

TEST_F(TrainSchedulerTest, AcknowledgedJobsSurviveACrashOfTheServer) {
  Start();
  const std::string running = Create({{kFakeSteps, "4"}, {kFakeHoldAt, "2"}});
  const std::string queued = Create({}, "later");
  const TrainJob before = AwaitStep(running, 2);
  const pid_t trainer = TrainerOf(running);
  ASSERT_NE(trainer, 0);
  Restart();
  EXPECT_EQ(TrainerOf(running), trainer) << "the trainer keeps running";
  const TrainJob after = *scheduler_->Get(running);
  EXPECT_EQ(after.state, JobState::kRunning);
  EXPECT_EQ(after.created, before.created);
  EXPECT_EQ(after.started, before.started);
  EXPECT_TRUE(after.spec == before.spec);
  ASSERT_TRUE(after.progress);
  EXPECT_EQ(after.progress->train.step, 2) << "progress.jsonl is read at the start";
  EXPECT_EQ(scheduler_->Get(queued)->state, JobState::kQueued);
  EXPECT_EQ(scheduler_->Get(queued)->queue_position, 0);
  EXPECT_EQ(scheduler_->Get(queued)->request_id, "later");

  Release(JobDirectory(running));
  const TrainJob job = AwaitEnd(running);
  EXPECT_EQ(job.state, JobState::kSucceeded) << job.reason;
  EXPECT_EQ(job.attempts, 1);
  EXPECT_EQ(AwaitEnd(queued).state, JobState::kSucceeded);
}

TEST_F(TrainSchedulerTest, FoundTrainerCanBeCancelled) {
  Start();
  const std::string id = Create({{kFakeHoldAt, "1"}});
  AwaitStep(id, 1);
  Restart();
  const auto cancelled = scheduler_->Cancel(id);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(cancelled->state, JobState::kCancelled);
  EXPECT_EQ(TrainerOf(id), 0);
}

TEST_F(TrainSchedulerTest, FoundTrainerThatIsKilledIsRestarted) {
  Start();
  const std::string id = Create({{kFakeSteps, "4"}, {kFakeHoldAt, "2"}});
  AwaitStep(id, 2);
  Restart();
  Release(JobDirectory(id));
  kill(TrainerOf(id), SIGKILL);
  EXPECT_EQ(AwaitEnd(id).state, JobState::kSucceeded);
}

TEST_F(TrainSchedulerTest, TrainerThatCrashedWithoutAServerIsRestarted) {
  Start();
  const std::string id = Create({{kFakeSteps, "4"}, {kFakeHoldAt, "2"}});
  AwaitStep(id, 2);
  scheduler_.reset();
  kill(TrainerOf(id), SIGKILL);
  AwaitTrainerExit(id);
  Release(JobDirectory(id));
  Start();
  const TrainJob job = AwaitEnd(id);
  EXPECT_EQ(job.state, JobState::kSucceeded) << job.reason;
  EXPECT_EQ(Attempts(id), "0\n2\n");
}

TEST_F(TrainSchedulerTest, ResultWrittenWithoutAServerIsFoundAndActivatedOnce) {
  Start();
  JobSpec spec = SpecOf({{kFakeHoldAt, "1"}, {kFakeVersion, "7"}});
  spec.activate_on_success = true;
  const std::string id = scheduler_->Create(spec, "")->id;
  AwaitStep(id, 1);
  scheduler_.reset();
  Release(JobDirectory(id));
  AwaitTrainerExit(id);
  Start();
  const TrainJob job = AwaitEnd(id);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.attempts, 1);
  EXPECT_TRUE(job.activation && job.activation->activated);
  Restart();
  EXPECT_EQ(scheduler_->Get(id)->outcome->version, "7") << "state.json has it";
  EXPECT_TRUE(scheduler_->Get(id)->activation->activated);
  EXPECT_THAT(activated_.Await(1), ElementsAre("pcb@7"));
}

TEST_F(TrainSchedulerTest, ResultThatCannotBeReadNowIsReadLater) {
  Start();
  const std::string id = Create({{kFakeHoldPublishing, ""}});
  AwaitPhase(id, model::TrainPhase::kPublishing);
  scheduler_.reset();
  Release(JobDirectory(id));
  AwaitTrainerExit(id);
  // The file is whole, but the system cannot open its name.
  const fs::path result = JobDirectory(id) / kResultFile;
  fs::rename(result, JobDirectory(id) / "whole");
  fs::create_symlink(result, result);
  options_.concurrency = 2;
  Start();
  AwaitEnd(Create({}));  // meanwhile the scheduler has looked at the first job several times
  EXPECT_EQ(scheduler_->Get(id)->state, JobState::kRunning);
  fs::rename(JobDirectory(id) / "whole", result);
  EXPECT_EQ(AwaitEnd(id).state, JobState::kSucceeded);
}

TEST_F(TrainSchedulerTest, FoundTrainersBeyondTheConcurrencyAreFollowedToTheirEnd) {
  options_.concurrency = 2;
  Start();
  const std::string first = Create({{kFakeHoldAt, "1"}});
  const std::string second = Create({{kFakeHoldAt, "1"}});
  const std::string third = Create({});
  AwaitStep(first, 1);
  AwaitStep(second, 1);
  options_.concurrency = 1;
  Restart();
  Release(JobDirectory(first));
  AwaitEnd(first);
  EXPECT_EQ(scheduler_->Get(third)->state, JobState::kQueued)
      << "the second trainer has the only slot";
  Release(JobDirectory(second));
  EXPECT_EQ(AwaitEnd(second).state, JobState::kSucceeded);
  EXPECT_EQ(AwaitEnd(third).state, JobState::kSucceeded);
}

TEST_F(TrainSchedulerTest, StopSavesRunningJobsAndTheNextServerContinuesThemWithoutACrash) {
  options_.max_crashes = 1;
  Start();
  const std::string id = Create({{kFakeSteps, "4"}, {kFakeHoldAt, "2"}});
  const std::string queued = Create({});
  AwaitStep(id, 2);
  scheduler_->Stop();
  scheduler_->Stop();
  EXPECT_EQ(TrainerOf(id), 0);
  EXPECT_EQ(scheduler_->Get(id)->state, JobState::kRunning);
  const auto refused = scheduler_->Create(SpecOf({}), "");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(scheduler_->Cancel(id).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(scheduler_->Get(queued)->attempts, 0) << "no trainer is started after Stop";

  Release(JobDirectory(id));
  Restart();
  const TrainJob job = AwaitEnd(id);
  EXPECT_EQ(job.state, JobState::kSucceeded) << job.reason;
  EXPECT_EQ(Attempts(id), "0\n2\n");
  EXPECT_EQ(AwaitEnd(queued).state, JobState::kSucceeded);
}

TEST_F(TrainSchedulerTest, StopLeavesTrainersRunningWithoutCheckpointOnStop) {
  options_.checkpoint_on_stop = false;
  Start();
  const std::string id = Create({{kFakeHoldAt, "2"}});
  AwaitStep(id, 2);
  const pid_t trainer = TrainerOf(id);
  scheduler_->Stop();
  EXPECT_EQ(TrainerOf(id), trainer);
  Restart();
  Release(JobDirectory(id));
  EXPECT_EQ(AwaitEnd(id).attempts, 1);
}

TEST_F(TrainSchedulerTest, DamagedJobIsFailedAndOthersAreNotAffected) {
  Start();
  const std::string held = Create({{kFakeHoldAt, "0"}});
  AwaitStep(held, 0);
  const std::string spec_lost = Create({});
  const std::string state_lost = Create({});
  const std::string whole = Create({});
  scheduler_.reset();
  fs::resize_file(JobDirectory(spec_lost) / kSpecFile, 10);
  fs::resize_file(JobDirectory(state_lost) / kStateFile, 10);
  Start();
  for (const auto& [id, file] : {std::pair(spec_lost, kSpecFile), {state_lost, kStateFile}}) {
    const TrainJob job = *scheduler_->Get(id);
    EXPECT_EQ(job.state, JobState::kFailed);
    EXPECT_EQ(job.reason_code, "DATA_LOSS");
    EXPECT_THAT(job.reason, HasSubstr((JobDirectory(id) / file).string()));
    EXPECT_GT(job.created, absl::UnixEpoch());
    EXPECT_EQ(scheduler_->Resume(id).status().code(), absl::StatusCode::kDataLoss);
  }
  Release(JobDirectory(held));
  EXPECT_EQ(AwaitEnd(held).state, JobState::kSucceeded);
  EXPECT_EQ(AwaitEnd(whole).state, JobState::kSucceeded);
}

TEST_F(TrainSchedulerTest, EndedJobKeepsItsStateWhenItsSpecificationIsDamaged) {
  Start();
  const std::string succeeded = Create({});
  ASSERT_EQ(AwaitEnd(succeeded).state, JobState::kSucceeded);
  const std::string failed = Create({{kFakeError, "NON_FINITE_LOSS"}});
  ASSERT_EQ(AwaitEnd(failed).state, JobState::kFailed);
  scheduler_.reset();
  for (const std::string& id : {succeeded, failed}) {
    fs::resize_file(JobDirectory(id) / kSpecFile, 10);
  }
  Start();
  EXPECT_EQ(scheduler_->Get(succeeded)->state, JobState::kSucceeded);
  EXPECT_EQ(scheduler_->Get(succeeded)->outcome->version, "1");
  EXPECT_EQ(scheduler_->Get(failed)->reason_code, "NON_FINITE_LOSS");
  EXPECT_EQ(scheduler_->Resume(succeeded).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(scheduler_->Resume(failed).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(TrainSchedulerTest, DirectoryOfAnotherServerIsRefused) {
  Start();
  Metrics metrics;
  const auto second = TrainScheduler::Start(options_, activate_, metrics);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(options_.jobs.string()));
}

}  // namespace
}  // namespace proad::server
