// The life of jobs, with processes of the fake trainer (tests/support/fake_trainer.cc).
#include "server/jobs/train_scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "model/training/train_run.h"
#include "server/jobs/job_files.h"
#include "server/util/status_details.h"
#include "tests/support/fake_trainer.h"
#include "tests/support/sync.h"
#include "tests/support/train_scheduler_fixture.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;
using namespace proad::testing;  // NOLINT: the labels
using model::TrainPhase;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// ---------------------------------------------------------------- one job

TEST_F(TrainSchedulerTest, JobRunsAndSucceeds) {
  Start();
  const auto created = scheduler_->Create(SpecOf({{kFakeSteps, "4"}}), "");
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_EQ(created->state, JobState::kQueued);
  EXPECT_EQ(created->attempts, 0);
  EXPECT_FALSE(created->progress);
  EXPECT_EQ(created->started, absl::InfinitePast());

  const TrainJob job = AwaitEnd(created->id);
  EXPECT_EQ(job.state, JobState::kSucceeded) << job.reason;
  EXPECT_EQ(job.reason, "");
  EXPECT_EQ(job.reason_code, "");
  EXPECT_EQ(job.attempts, 1);
  EXPECT_LE(job.created, job.started);
  EXPECT_LE(job.started, job.ended);
  EXPECT_LE(job.ended, job.updated);
  ASSERT_TRUE(job.progress);
  EXPECT_EQ(job.progress->train.step, 4);
  EXPECT_EQ(job.progress->train.phase, TrainPhase::kPublishing);
  EXPECT_GE(job.progress->elapsed, absl::ZeroDuration());
  ASSERT_TRUE(job.outcome);
  EXPECT_EQ(job.outcome->version, "1");
  EXPECT_EQ(job.outcome->evaluation->metrics.size(), 2u);
  EXPECT_TRUE(job.outcome->evaluation->samples.empty())
      << "Get does not return the scores of single images";
  EXPECT_EQ(ReadOutcome(JobDirectory(job.id))->evaluation->samples.size(), 2u);
  EXPECT_FALSE(job.activation) << "activate_on_success is not set";
  EXPECT_EQ(activated_.size(), 0u);
}

TEST_F(TrainSchedulerTest, FailedJobHasAReasonAndCanBeResumed) {
  Start();
  const std::string id = Create({{kFakeError, "UNREADABLE_IMAGE"}});
  const TrainJob job = AwaitEnd(id);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.reason_code, "UNREADABLE_IMAGE");
  EXPECT_EQ(job.reason, "the label fake.error is set");
  EXPECT_EQ(job.attempts, 1) << "a job with an error is not restarted";
  EXPECT_FALSE(job.outcome);

  const auto resumed = scheduler_->Resume(id);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(resumed->state, JobState::kQueued);
  EXPECT_EQ(resumed->reason, "");
  EXPECT_EQ(resumed->reason_code, "");
  EXPECT_EQ(resumed->ended, absl::InfinitePast());
  const TrainJob again = AwaitEnd(id);
  EXPECT_EQ(again.attempts, 2);
  EXPECT_EQ(Attempts(id), "0\n3\n") << "the second attempt continued from the checkpoint";
}

TEST_F(TrainSchedulerTest, TrainerThatCannotBeStartedFailsTheJob) {
  options_.trainer = "/no/such/trainer";
  Start();
  const TrainJob job = AwaitEnd(Create({}));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.reason_code, "TRAINER_DIED");
  EXPECT_THAT(job.reason, HasSubstr("/no/such/trainer"));
}

TEST_F(TrainSchedulerTest, DamagedResultFailsTheJobAndResumeTrainsAgain) {
  Start();
  const std::string id = Create({{kFakeHoldPublishing, ""}});
  AwaitPhase(id, TrainPhase::kPublishing);
  scheduler_.reset();
  Release(JobDirectory(id));
  AwaitTrainerExit(id);
  fs::resize_file(JobDirectory(id) / kResultFile, 30);
  Start();
  const TrainJob job = AwaitEnd(id);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.reason_code, "DATA_LOSS");
  EXPECT_THAT(job.reason, HasSubstr(kResultFile));
  ASSERT_TRUE(scheduler_->Resume(id).ok());
  EXPECT_EQ(AwaitEnd(id).state, JobState::kSucceeded);
}

// ---------------------------------------------------------------- the queue

TEST_F(TrainSchedulerTest, JobsRunInOrderOfCreationUpToTheConcurrency) {
  options_.concurrency = 2;
  Start();
  std::vector<std::string> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(Create({{kFakeHoldAt, "0"}}));
  AwaitStep(ids[0], 0);
  AwaitStep(ids[1], 0);
  EXPECT_EQ(scheduler_->Get(ids[2])->state, JobState::kQueued);
  EXPECT_EQ(scheduler_->Get(ids[2])->queue_position, 0);
  EXPECT_EQ(scheduler_->Get(ids[3])->queue_position, 1);

  Release(JobDirectory(ids[1]));
  AwaitEnd(ids[1]);
  AwaitStep(ids[2], 0);
  EXPECT_EQ(Await(ids[3], [](const TrainJob& job) { return job.queue_position == 0; }).state,
            JobState::kQueued);
  EXPECT_EQ(scheduler_->Get(ids[0])->state, JobState::kRunning);

  std::vector<std::string> listed;
  for (const TrainJob& job : scheduler_->List()) listed.push_back(job.id);
  EXPECT_THAT(listed, ElementsAre(ids[3], ids[2], ids[1], ids[0])) << "newest first";
  for (const std::string& id : ids) Release(JobDirectory(id));
  for (const std::string& id : ids) EXPECT_EQ(AwaitEnd(id).state, JobState::kSucceeded);
}

TEST_F(TrainSchedulerTest, FullQueueRefusesAtOnceAndWritesNothing) {
  options_.max_queued = 2;
  Start();
  const std::string running = Create({{kFakeHoldAt, "0"}});
  AwaitStep(running, 0);
  Create({});
  const std::string waiting = Create({});
  const auto refused = scheduler_->Create(SpecOf({}), "");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetDetails(refused.status()).reason, "JOB_QUEUE_FULL");
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("at most 2"));
  EXPECT_EQ(scheduler_->List().size(), 3u);

  ASSERT_TRUE(scheduler_->Cancel(waiting).ok());
  EXPECT_TRUE(scheduler_->Create(SpecOf({}), "").ok()) << "the queue has room again";
  EXPECT_EQ(scheduler_->Resume(waiting).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(scheduler_->Get(waiting)->state, JobState::kCancelled);
}

TEST_F(TrainSchedulerTest, RepeatedRequestReturnsTheSameJob) {
  Start();
  const std::string id = Create({{kFakeHoldAt, "0"}}, "order-7");
  JobSpec spec = SpecOf({{kFakeHoldAt, "0"}});
  spec.train.active_version = "/store/pcb/2";  // resolved after another activation
  const auto again = scheduler_->Create(spec, "order-7");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->id, id);
  EXPECT_EQ(again->request_id, "order-7");

  const auto other = scheduler_->Create(SpecOf({}), "order-7");
  EXPECT_EQ(other.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(other.status().message()), AllOf(HasSubstr("order-7"), HasSubstr(id)));
  const auto found = scheduler_->FindRequest("order-7", spec.request_digest);
  ASSERT_TRUE(found.ok() && found->has_value()) << found.status();
  EXPECT_EQ((*found)->id, id);
  EXPECT_EQ(scheduler_->FindRequest("order-7", "other").status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_FALSE(scheduler_->FindRequest("order-9", spec.request_digest)->has_value());
  Restart();
  EXPECT_EQ(scheduler_->Create(spec, "order-7")->id, id) << "the request id is stored with the job";
  EXPECT_NE(Create({{kFakeHoldAt, "0"}}, "order-8"), id);
  EXPECT_NE(Create({}), Create({})) << "without a request id every call creates a job";
}

TEST_F(TrainSchedulerTest, UnknownJobIsNotFoundAndKnownJobsAreListed) {
  Start();
  const auto none = scheduler_->Get("unknown");
  EXPECT_EQ(none.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(none.status().message()),
              AllOf(HasSubstr("\"unknown\""), HasSubstr("there are none")));
  const std::string id = Create({});
  for (const absl::Status& status :
       {scheduler_->Get("../" + id).status(), scheduler_->Cancel("unknown").status(),
        scheduler_->Resume("unknown").status(), scheduler_->Subscribe("unknown", [] {}).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(std::string(status.message()), HasSubstr(id));
  }
}

TEST_F(TrainSchedulerTest, FullDiskRefusesAJobAndLeavesNoFiles) {
  Start();
  JobSpec spec = SpecOf({});
  spec.labels["large"] = std::string(50'000, 'x');
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {10'000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto refused = scheduler_->Create(spec, "");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted) << refused.status();
  EXPECT_EQ(GetDetails(refused.status()).reason, "DISK_FULL");
  EXPECT_TRUE(scheduler_->List().empty());
  EXPECT_EQ(AwaitEnd(Create({})).state, JobState::kSucceeded);
}

// ---------------------------------------------------------------- watching, keeping, measuring

TEST_F(TrainSchedulerTest, WatcherIsCalledForTheEndAndNotAfterItsDestruction) {
  Start();
  const std::string id = Create({{kFakeSteps, "50"}, {kFakeHoldAt, "1"}});
  Event ended;
  std::atomic<int> calls = 0;
  auto watching = scheduler_->Subscribe(id, [&] {
    if (HasEnded(scheduler_->Get(id)->state)) ended.Set();
  });
  auto going = scheduler_->Subscribe(id, [&] { ++calls; });
  ASSERT_TRUE(watching.ok() && going.ok());
  AwaitStep(id, 1);
  going->reset();
  const int heard = calls;
  Release(JobDirectory(id));
  ended.Wait();
  EXPECT_EQ(calls, heard);
  scheduler_.reset();  // a subscription may outlive the scheduler
}

TEST_F(TrainSchedulerTest, WatchersAreBounded) {
  options_.max_watchers = 2;
  Start();
  const std::string id = Create({{kFakeHoldAt, "0"}});
  auto first = scheduler_->Subscribe(id, [] {});
  auto second = scheduler_->Subscribe(id, [] {});
  ASSERT_TRUE(first.ok() && second.ok());
  const auto third = scheduler_->Subscribe(id, [] {});
  EXPECT_EQ(third.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetDetails(third.status()).reason, "TOO_MANY_WATCHERS");
  EXPECT_TRUE(GetDetails(third.status()).retry_after);
  first->reset();
  EXPECT_TRUE(scheduler_->Subscribe(id, [] {}).ok());
}

TEST_F(TrainSchedulerTest, OldestEndedJobsAreRemovedAndNoOthers) {
  options_.max_ended = 2;
  Start();
  const std::string running = Create({{kFakeHoldAt, "0"}});
  AwaitStep(running, 0);
  const std::string waiting = Create({});
  std::vector<std::string> ended;
  for (int i = 0; i < 4; ++i) {
    ended.push_back(Create({}));
    ASSERT_TRUE(scheduler_->Cancel(ended.back()).ok());
  }
  Restart();  // removes jobs beyond the limit before it answers calls
  std::vector<std::string> kept;
  for (const TrainJob& job : scheduler_->List()) kept.push_back(job.id);
  EXPECT_THAT(kept, ElementsAre(ended[3], ended[2], waiting, running));
  EXPECT_EQ(scheduler_->Get(ended[0]).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(fs::exists(JobDirectory(ended[0])));
}

TEST_F(TrainSchedulerTest, SucceededJobRemovesItsWorkingDirectory) {
  Start();
  const std::string failed = Create({{kFakeError, "INTERNAL"}});
  AwaitEnd(failed);
  const std::string succeeded = Create({});
  AwaitEnd(succeeded);
  EXPECT_TRUE(fs::exists(JobDirectory(failed) / kWorkDirectory)) << "a failed job can be resumed";
  EXPECT_FALSE(fs::exists(JobDirectory(succeeded) / kWorkDirectory));
  scheduler_->Stop();
  for (const auto& entry : fs::directory_iterator(options_.jobs)) {
    EXPECT_THAT(entry.path().filename().string(), Not(StartsWith(".removed")));
  }
}

TEST_F(TrainSchedulerTest, MetricsCountJobs) {
  Start();
  const std::string id = Create({{kFakeSteps, "4"}, {kFakeHoldAt, "2"}});
  const std::string queued = Create({{kFakeError, "INTERNAL"}});
  AwaitStep(id, 2);
  scheduler_->Cancel(Create({})).IgnoreError();
  EXPECT_THAT(metrics_.Serialize(), AllOf(HasSubstr("proad_train_jobs{state=\"running\"} 1"),
                                          HasSubstr("proad_train_jobs{state=\"queued\"} 1"),
                                          HasSubstr("proad_train_epoch{slot=\"0\"} 1"),
                                          HasSubstr("proad_train_progress_ratio{slot=\"0\"} 0.5"),
                                          HasSubstr("proad_train_loss{slot=\"0\"} 0.333")));
  Release(JobDirectory(id));
  AwaitEnd(id);
  AwaitEnd(queued);
  scheduler_->Stop();
  EXPECT_THAT(
      metrics_.Serialize(),
      AllOf(HasSubstr("proad_train_jobs{state=\"running\"} 0"),
            HasSubstr("proad_train_jobs{state=\"succeeded\"} 1"),
            HasSubstr("proad_train_jobs_completed_total{outcome=\"succeeded\"} 1"),
            HasSubstr("proad_train_jobs_completed_total{outcome=\"failed\"} 1"),
            HasSubstr("proad_train_jobs_completed_total{outcome=\"cancelled\"} 1"),
            Not(HasSubstr("proad_train_last_success_timestamp_seconds 0\n")),
            Not(HasSubstr("proad_train_loss{")), Not(HasSubstr("proad_train_progress_ratio{"))));
}

TEST_F(TrainSchedulerTest, ConcurrentCallersGetTheirOwnJobs) {
  options_.concurrency = 3;
  Start();
  std::vector<std::thread> callers;
  std::atomic<int> succeeded = 0;
  for (int i = 0; i < 6; ++i) {
    callers.emplace_back([&, i] {
      for (int j = 0; j < 3; ++j) {
        const std::string id = Create({{kFakeSteps, absl::StrCat(i)}}, absl::StrCat(i, "-", j));
        if (j == 1) {
          scheduler_->Cancel(id).IgnoreError();
          scheduler_->Resume(id).IgnoreError();
        }
        if (AwaitEnd(id).state == JobState::kSucceeded) ++succeeded;
        scheduler_->List();
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(succeeded, 18);
  EXPECT_EQ(scheduler_->List().size(), 18u);
}

}  // namespace
}  // namespace proad::server
