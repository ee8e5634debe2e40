// Jobs from their creation to their end, with processes of the fake trainer
// (tests/support/fake_trainer.cc).
#include "server/training/train_scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "model/checkmark.h"
#include "server/training/job_files.h"
#include "server/util/status_details.h"
#include "tests/support/fake_trainer.h"
#include "tests/support/sync.h"
#include "tests/support/temp_directory.h"

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
using Labels = std::map<std::string, std::string>;

class TrainSchedulerTest : public ::testing::Test {
 protected:
  TrainSchedulerTest() {
    options_.jobs = directory_ / "jobs";
    options_.store = directory_ / "store";
    options_.trainer = fs::path(PROAD_BINARY_DIR) / "tests/unit/fake_trainer";
    options_.poll = absl::Milliseconds(5);
    options_.threads = 1;
    // Of the tests that do not look at it: SIGTERM must be enough, on a busy machine too.
    options_.stop_grace = absl::Minutes(2);
    options_.checkpoint_grace = absl::Minutes(2);
    activate_ = [this](const std::string& name, const std::string& version) {
      activated_.Add(absl::StrCat(name, "@", version));
      return absl::OkStatus();
    };
  }
  ~TrainSchedulerTest() override {
    if (scheduler_ == nullptr) return;
    const std::vector<TrainJob> jobs = scheduler_->List();
    scheduler_.reset();  // or it would start them again
    for (const TrainJob& job : jobs) {
      Release(JobDirectory(job.id));
      TrainerProcess(JobDirectory(job.id)).Kill();
    }
  }

  void Start() {
    auto scheduler = TrainScheduler::Start(options_, activate_, metrics_);
    ASSERT_TRUE(scheduler.ok()) << scheduler.status();
    scheduler_ = *std::move(scheduler);
  }
  // As a server that is killed: the next one finds what is on the disk.
  void Restart() {
    scheduler_.reset();
    Start();
  }

  static JobSpec SpecOf(const Labels& labels) {
    JobSpec spec;
    spec.train.model_name = "pcb";
    spec.train.recipe.batch_size = 8;
    spec.labels = labels;
    spec.request_digest = absl::StrJoin(labels, ",", absl::PairFormatter("="));
    return spec;
  }

  std::string Create(const Labels& labels, const std::string& request_id = "") {
    const auto job = scheduler_->Create(SpecOf(labels), request_id);
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? job->id : "";
  }

  // Waits until the job is as `wanted`, and returns it.
  TrainJob Await(const std::string& id, const std::function<bool(const TrainJob&)>& wanted) {
    Mutex mutex;
    CondVar changed;
    int changes = 0;
    const auto subscription = scheduler_->Subscribe(id, [&] {
      MutexLock lock(mutex);
      ++changes;
      changed.NotifyAll();
    });
    EXPECT_TRUE(subscription.ok()) << subscription.status();
    int seen = 0;
    while (true) {
      const auto job = scheduler_->Get(id);
      EXPECT_TRUE(job.ok()) << job.status();
      if (!job.ok() || wanted(*job)) return job.ok() ? *job : TrainJob();
      MutexLock lock(mutex);
      while (changes == seen) changed.Wait(mutex);
      seen = changes;
    }
  }
  TrainJob AwaitEnd(const std::string& id) {
    return Await(id, [](const TrainJob& job) { return HasEnded(job.state); });
  }
  TrainJob AwaitStep(const std::string& id, int64_t step) {
    return Await(id, [step](const TrainJob& job) {
      return job.state == JobState::kRunning && job.progress && job.progress->train.step >= step;
    });
  }
  TrainJob AwaitPhase(const std::string& id, TrainPhase phase) {
    return Await(id, [phase](const TrainJob& job) {
      return job.progress && job.progress->train.phase == phase;
    });
  }

  fs::path JobDirectory(const std::string& id) const { return options_.jobs / id; }
  std::string Attempts(const std::string& id) const {
    return ReadText(JobDirectory(id) / kFakeAttempts);
  }
  pid_t TrainerOf(const std::string& id) const { return TrainerLock::Holder(JobDirectory(id)); }

  const TempDirectory directory_;
  TrainScheduler::Options options_;
  Metrics metrics_;
  Activate activate_;
  Collected<std::string> activated_;
  std::unique_ptr<TrainScheduler> scheduler_;
};

// ---------------------------------------------------------------- one job

TEST_F(TrainSchedulerTest, AJobRunsAndSucceeds) {
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
  EXPECT_TRUE(job.outcome->evaluation->samples.empty()) << "of every picture, for every Get";
  EXPECT_EQ(ReadOutcome(JobDirectory(job.id))->evaluation->samples.size(), 2u);
  EXPECT_FALSE(job.activation) << "nobody asked for it";
  EXPECT_EQ(activated_.size(), 0u);
}

TEST_F(TrainSchedulerTest, AFailureSaysWhyAndCanBeResumed) {
  Start();
  const std::string id = Create({{kFakeError, "UNREADABLE_IMAGE"}});
  const TrainJob job = AwaitEnd(id);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.reason_code, "UNREADABLE_IMAGE");
  EXPECT_EQ(job.reason, "it failed as it was told");
  EXPECT_EQ(job.attempts, 1) << "what failed with a reason is not tried again by itself";
  EXPECT_FALSE(job.outcome);

  const auto resumed = scheduler_->Resume(id);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(resumed->state, JobState::kQueued);
  EXPECT_EQ(resumed->reason, "");
  EXPECT_EQ(resumed->reason_code, "");
  EXPECT_EQ(resumed->ended, absl::InfinitePast());
  const TrainJob again = AwaitEnd(id);
  EXPECT_EQ(again.attempts, 2);
  EXPECT_EQ(Attempts(id), "0\n3\n") << "it went on from its checkpoint";
}

TEST_F(TrainSchedulerTest, ATrainerThatCannotBeStartedFailsTheJob) {
  options_.trainer = "/no/such/trainer";
  Start();
  const TrainJob job = AwaitEnd(Create({}));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.reason_code, "TRAINER_DIED");
  EXPECT_THAT(job.reason, HasSubstr("/no/such/trainer"));
}

TEST_F(TrainSchedulerTest, AResultThatCannotBeReadFailsTheJobAndResumingMakesItAnew) {
  Start();
  const std::string id = Create({{kFakeHoldPublishing, ""}});
  AwaitPhase(id, TrainPhase::kPublishing);
  scheduler_.reset();
  Release(JobDirectory(id));
  while (TrainerOf(id) != 0) std::this_thread::yield();
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

TEST_F(TrainSchedulerTest, JobsRunInTheOrderOfTheirCreationAsManyAtOnceAsMay) {
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

TEST_F(TrainSchedulerTest, AFullQueueRefusesAtOnceAndWritesNothing) {
  options_.max_queued = 2;
  Start();
  const std::string running = Create({{kFakeHoldAt, "0"}});
  AwaitStep(running, 0);
  Create({});
  const std::string waiting = Create({});
  const auto refused = scheduler_->Create(SpecOf({}), "");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetDetails(refused.status()).reason, "JOB_QUEUE_FULL");
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("2 is the most"));
  EXPECT_EQ(scheduler_->List().size(), 3u);

  ASSERT_TRUE(scheduler_->Cancel(waiting).ok());
  EXPECT_TRUE(scheduler_->Create(SpecOf({}), "").ok()) << "there is room again";
  EXPECT_EQ(scheduler_->Resume(waiting).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(scheduler_->Get(waiting)->state, JobState::kCancelled);
}

TEST_F(TrainSchedulerTest, RepeatingARequestMakesNoSecondJob) {
  Start();
  const std::string id = Create({{kFakeHoldAt, "0"}}, "order-7");
  JobSpec spec = SpecOf({{kFakeHoldAt, "0"}});
  spec.train.active_version = "/store/pcb/2";  // another one was activated meanwhile
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
  EXPECT_EQ(scheduler_->Create(spec, "order-7")->id, id) << "it is remembered as long as the job";
  EXPECT_NE(Create({{kFakeHoldAt, "0"}}, "order-8"), id);
  EXPECT_NE(Create({}), Create({})) << "without an id every call makes a job";
}

TEST_F(TrainSchedulerTest, AnUnknownJobIsNotFoundAndTheKnownOnesAreListed) {
  Start();
  const auto none = scheduler_->Get("nobody");
  EXPECT_EQ(none.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(none.status().message()),
              AllOf(HasSubstr("\"nobody\""), HasSubstr("there are none")));
  const std::string id = Create({});
  for (const absl::Status& status :
       {scheduler_->Get("../" + id).status(), scheduler_->Cancel("nobody").status(),
        scheduler_->Resume("nobody").status(), scheduler_->Subscribe("nobody", [] {}).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(std::string(status.message()), HasSubstr(id));
  }
}

TEST_F(TrainSchedulerTest, AFullDiskRefusesAJobAndLeavesNothing) {
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

// ---------------------------------------------------------------- cancel and resume

TEST_F(TrainSchedulerTest, AQueuedJobIsCancelledAndNeverRuns) {
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
  EXPECT_EQ(scheduler_->Cancel(id)->state, JobState::kCancelled) << "cancelling twice is OK";

  Release(JobDirectory(running));
  AwaitEnd(running);
  EXPECT_EQ(scheduler_->Get(id)->attempts, 0);
  Restart();
  EXPECT_EQ(scheduler_->Get(id)->state, JobState::kCancelled);
}

TEST_F(TrainSchedulerTest, ARunningJobIsCancelledAndGoesOnFromItsCheckpointWhenResumed) {
  Start();
  const std::string id = Create({{kFakeSteps, "5"}, {kFakeHoldAt, "2"}});
  AwaitStep(id, 2);
  EXPECT_EQ(scheduler_->Resume(id)->state, JobState::kRunning) << "that changes nothing";
  const auto cancelled = scheduler_->Cancel(id);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(cancelled->state, JobState::kCancelled);
  EXPECT_EQ(TrainerOf(id), 0) << "it must have stopped when Cancel returns";

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

TEST_F(TrainSchedulerTest, ATrainerThatIgnoresTheRequestIsKilledAfterTheGrace) {
  options_.stop_grace = absl::Milliseconds(50);
  Start();
  const std::string id = Create({{kFakeHoldAt, "1"}, {kFakeDeaf, ""}});
  AwaitStep(id, 1);
  // Two at once get the same answer.
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

TEST_F(TrainSchedulerTest, AJobThatPublishesIsNotCancelledAnyMore) {
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

TEST_F(TrainSchedulerTest, AJobWhoseCheckpointIsDamagedIsNotResumed) {
  Start();
  const std::string id = Create({{kFakeHoldAt, "1"}});
  AwaitStep(id, 1);
  ASSERT_TRUE(scheduler_->Cancel(id).ok());
  const fs::path work = JobDirectory(id) / kWorkDirectory;
  WriteText(work / "state-1.safetensors", "weights");
  model::SavedCheckpoint saved;
  saved.mark.step = 1;
  saved.file = work / "state-1.safetensors";
  model::PointTo(work, saved);
  WriteText(work / "state-1.safetensors", "WEIGHTS");
  const auto refused = scheduler_->Resume(id);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kDataLoss) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr((work / "state-1.safetensors").string()));
  EXPECT_EQ(scheduler_->Get(id)->state, JobState::kCancelled);
  fs::remove(work / "state-1.safetensors");
  EXPECT_THAT(std::string(scheduler_->Resume(id).status().message()), HasSubstr("is missing"));

  WriteText(work / "state-1.safetensors", "weights");
  EXPECT_TRUE(scheduler_->Resume(id).ok()) << "it was brought back from a backup";
}

TEST_F(TrainSchedulerTest, AFailedJobCannotBeCancelled) {
  Start();
  const std::string id = Create({{kFakeError, "INTERNAL"}});
  AwaitEnd(id);
  EXPECT_EQ(scheduler_->Cancel(id).status().code(), absl::StatusCode::kFailedPrecondition);
}

// ---------------------------------------------------------------- deaths

TEST_F(TrainSchedulerTest, ATrainerThatIsKilledIsStartedAgainFromItsCheckpoint) {
  Start();
  const std::string id = Create({{kFakeSteps, "4"}, {kFakeCrashAt, "2"}, {kFakeCrashes, "2"}});
  const TrainJob job = AwaitEnd(id);
  EXPECT_EQ(job.state, JobState::kSucceeded) << job.reason;
  EXPECT_EQ(job.attempts, 3);
  EXPECT_EQ(Attempts(id), "0\n2\n2\n");
}

TEST_F(TrainSchedulerTest, ATrainerThatKeepsDyingFailsTheJobWithItsLastWords) {
  Start();
  const std::string id = Create({{kFakeExit, "9"}});
  const TrainJob job = AwaitEnd(id);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.reason_code, "TRAINER_DIED");
  // It got to its checkpoint, and then three times no further.
  EXPECT_EQ(job.attempts, 3);
  EXPECT_THAT(job.reason, AllOf(HasSubstr("3 times"), HasSubstr("step 3"), HasSubstr("exit code 9"),
                                HasSubstr(kFakeLastWords)));
  ASSERT_TRUE(scheduler_->Resume(id).ok());
  EXPECT_EQ(AwaitEnd(id).attempts, 6) << "a person who resumes it gives it all its tries again";
}

TEST_F(TrainSchedulerTest, DeathsBetweenCheckpointsDoNotAddUp) {
  options_.max_crashes = 2;
  Start();
  // Dies at the first step of every attempt but one, and each time one step further.
  const std::string id = Create({{kFakeSteps, "2"}, {kFakeHoldAt, "1"}});
  AwaitStep(id, 1);
  kill(TrainerOf(id), SIGKILL);
  Await(id, [](const TrainJob& job) { return job.attempts == 2; });
  Release(JobDirectory(id));
  EXPECT_EQ(AwaitEnd(id).state, JobState::kSucceeded);
}

TEST_F(TrainSchedulerTest, WithoutCheckpointsDeathsDoAddUp) {
  options_.max_crashes = 2;
  Start();
  const TrainJob job = AwaitEnd(Create({{kFakeCrashAt, "2"}, {kFakeForgetful, ""}}));
  EXPECT_EQ(job.reason_code, "TRAINER_DIED");
  EXPECT_EQ(job.attempts, 2);
  EXPECT_THAT(job.reason, AllOf(HasSubstr("signal 9"), HasSubstr("no words")));
}

// ---------------------------------------------------------------- deaths of the server

TEST_F(TrainSchedulerTest, AcknowledgedJobsOutliveTheServer) {
  Start();
  const std::string running = Create({{kFakeSteps, "4"}, {kFakeHoldAt, "2"}});
  const std::string queued = Create({}, "later");
  const TrainJob before = AwaitStep(running, 2);
  const pid_t trainer = TrainerOf(running);
  ASSERT_NE(trainer, 0);
  Restart();
  EXPECT_EQ(TrainerOf(running), trainer) << "a living trainer is left at work";
  const TrainJob after = *scheduler_->Get(running);
  EXPECT_EQ(after.state, JobState::kRunning);
  EXPECT_EQ(after.created, before.created);
  EXPECT_EQ(after.started, before.started);
  EXPECT_TRUE(after.spec == before.spec);
  ASSERT_TRUE(after.progress);
  EXPECT_EQ(after.progress->train.step, 2) << "what is known is known at once";
  EXPECT_EQ(scheduler_->Get(queued)->state, JobState::kQueued);
  EXPECT_EQ(scheduler_->Get(queued)->queue_position, 0);
  EXPECT_EQ(scheduler_->Get(queued)->request_id, "later");

  Release(JobDirectory(running));
  const TrainJob job = AwaitEnd(running);
  EXPECT_EQ(job.state, JobState::kSucceeded) << job.reason;
  EXPECT_EQ(job.attempts, 1);
  EXPECT_EQ(AwaitEnd(queued).state, JobState::kSucceeded);
}

TEST_F(TrainSchedulerTest, AnAdoptedTrainerCanBeCancelled) {
  Start();
  const std::string id = Create({{kFakeHoldAt, "1"}});
  AwaitStep(id, 1);
  Restart();
  const auto cancelled = scheduler_->Cancel(id);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(cancelled->state, JobState::kCancelled);
  EXPECT_EQ(TrainerOf(id), 0);
}

TEST_F(TrainSchedulerTest, AnAdoptedTrainerThatIsKilledIsStartedAgain) {
  Start();
  const std::string id = Create({{kFakeSteps, "4"}, {kFakeHoldAt, "2"}});
  AwaitStep(id, 2);
  Restart();
  Release(JobDirectory(id));
  kill(TrainerOf(id), SIGKILL);
  EXPECT_EQ(AwaitEnd(id).state, JobState::kSucceeded);
}

TEST_F(TrainSchedulerTest, ATrainerThatDiedWhileNoServerLookedIsStartedAgain) {
  Start();
  const std::string id = Create({{kFakeSteps, "4"}, {kFakeHoldAt, "2"}});
  AwaitStep(id, 2);
  scheduler_.reset();
  kill(TrainerOf(id), SIGKILL);
  while (TrainerOf(id) != 0) std::this_thread::yield();
  Release(JobDirectory(id));
  Start();
  const TrainJob job = AwaitEnd(id);
  EXPECT_EQ(job.state, JobState::kSucceeded) << job.reason;
  EXPECT_EQ(Attempts(id), "0\n2\n");
}

TEST_F(TrainSchedulerTest, AResultThatCameWhileNoServerLookedIsFoundAndActivatedOnce) {
  Start();
  JobSpec spec = SpecOf({{kFakeHoldAt, "1"}, {kFakeVersion, "7"}});
  spec.activate_on_success = true;
  const std::string id = scheduler_->Create(spec, "")->id;
  AwaitStep(id, 1);
  scheduler_.reset();
  Release(JobDirectory(id));
  while (TrainerOf(id) != 0) std::this_thread::yield();
  Start();
  const TrainJob job = AwaitEnd(id);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.attempts, 1);
  EXPECT_TRUE(job.activation && job.activation->activated);
  Restart();
  EXPECT_EQ(scheduler_->Get(id)->outcome->version, "7") << "it is remembered";
  EXPECT_TRUE(scheduler_->Get(id)->activation->activated);
  EXPECT_THAT(activated_.Await(1), ElementsAre("pcb@7"));
}

TEST_F(TrainSchedulerTest, MoreTrainersThanMayRunAreFollowedToTheirEnd) {
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
  EXPECT_EQ(scheduler_->Get(third)->state, JobState::kQueued) << "there is still one at work";
  Release(JobDirectory(second));
  EXPECT_EQ(AwaitEnd(second).state, JobState::kSucceeded);
  EXPECT_EQ(AwaitEnd(third).state, JobState::kSucceeded);
}

TEST_F(TrainSchedulerTest, StopSavesWhatRunsAndTheNextServerGoesOnWithoutCountingACrash) {
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
  EXPECT_EQ(scheduler_->Get(queued)->attempts, 0) << "nothing is started any more";

  Release(JobDirectory(id));
  Restart();
  const TrainJob job = AwaitEnd(id);
  EXPECT_EQ(job.state, JobState::kSucceeded) << job.reason;
  EXPECT_EQ(Attempts(id), "0\n2\n");
  EXPECT_EQ(AwaitEnd(queued).state, JobState::kSucceeded);
}

TEST_F(TrainSchedulerTest, StopLeavesTrainersAloneWhereThatIsWanted) {
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

TEST_F(TrainSchedulerTest, ADamagedJobIsListedAsFailedAndDisturbsNoOther) {
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

TEST_F(TrainSchedulerTest, ADirectoryThatAnotherServerUsesIsRefused) {
  Start();
  Metrics metrics;
  const auto second = TrainScheduler::Start(options_, activate_, metrics);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(options_.jobs.string()));
}

// ---------------------------------------------------------------- activation

TEST_F(TrainSchedulerTest, AVersionThatPassesIsActivated) {
  Start();
  JobSpec spec = SpecOf({{kFakeGate, "passed"}, {kFakeVersion, "3"}});
  spec.activate_on_success = true;
  const TrainJob job = AwaitEnd(scheduler_->Create(spec, "")->id);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  ASSERT_TRUE(job.activation);
  EXPECT_TRUE(job.activation->activated);
  EXPECT_EQ(job.activation->reason, "");
  EXPECT_THAT(activated_.Await(1), ElementsAre("pcb@3"));
}

TEST_F(TrainSchedulerTest, AVersionThatTheGateRefusesStaysPublishedAndInactive) {
  Start();
  JobSpec spec = SpecOf({{kFakeGate, "the mean image_auroc is 0.9, and 0.95 is the least"}});
  spec.activate_on_success = true;
  const TrainJob job = AwaitEnd(scheduler_->Create(spec, "")->id);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.outcome->version, "1");
  ASSERT_TRUE(job.activation);
  EXPECT_FALSE(job.activation->activated);
  EXPECT_THAT(job.activation->reason, HasSubstr("0.95"));
  EXPECT_EQ(activated_.size(), 0u);
}

TEST_F(TrainSchedulerTest, AVersionThatDoesNotLoadIsToldSo) {
  activate_ = [](const std::string&, const std::string&) {
    return absl::DataLossError("its probe has another score");
  };
  Start();
  JobSpec spec = SpecOf({});
  spec.activate_on_success = true;
  const TrainJob job = AwaitEnd(scheduler_->Create(spec, "")->id);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_FALSE(job.activation->activated);
  EXPECT_EQ(job.activation->reason, "its probe has another score");
}

TEST_F(TrainSchedulerTest, WhileAVersionIsActivatedTheSchedulerWorksOnAndTheJobCannotBeCancelled) {
  Event begun, go;
  activate_ = [&](const std::string&, const std::string&) {
    begun.Set();
    go.Wait();
    return absl::OkStatus();
  };
  options_.concurrency = 2;
  Start();
  JobSpec spec = SpecOf({});
  spec.activate_on_success = true;
  const std::string id = scheduler_->Create(spec, "")->id;
  begun.Wait();
  EXPECT_EQ(scheduler_->Cancel(id).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(AwaitEnd(Create({})).state, JobState::kSucceeded);
  EXPECT_EQ(scheduler_->Get(id)->state, JobState::kRunning);
  EXPECT_TRUE(scheduler_->Get(id)->outcome) << "the version is published already";
  go.Set();
  EXPECT_TRUE(AwaitEnd(id).activation->activated);
}

TEST_F(TrainSchedulerTest, AnActivationThatTheServersEndPreventedIsTriedByTheNext) {
  Event begun, go;
  activate_ = [&](const std::string&, const std::string&) -> absl::Status {
    begun.Set();
    go.Wait();
    return absl::UnavailableError("stopping");
  };
  Start();
  JobSpec spec = SpecOf({});
  spec.activate_on_success = true;
  const std::string id = scheduler_->Create(spec, "")->id;
  begun.Wait();
  std::thread stop([&] { scheduler_->Stop(); });
  while (scheduler_->Create(SpecOf({}), "").ok()) {
  }
  go.Set();
  stop.join();
  EXPECT_EQ(scheduler_->Get(id)->state, JobState::kRunning);
  activate_ = [](const std::string&, const std::string&) { return absl::OkStatus(); };
  Restart();
  EXPECT_TRUE(AwaitEnd(id).activation->activated);
}

TEST_F(TrainSchedulerTest, AnActivationThatAServerOnItsWayOutRefusesIsTriedByTheNext) {
  Event refused;
  activate_ = [&](const std::string&, const std::string&) {
    refused.Set();
    return MakeError(absl::StatusCode::kUnavailable, "leaving", {.reason = "DRAINING"});
  };
  options_.concurrency = 2;
  Start();
  JobSpec spec = SpecOf({});
  spec.activate_on_success = true;
  const std::string id = scheduler_->Create(spec, "")->id;
  refused.Wait();
  AwaitEnd(Create({}));  // it goes on meanwhile
  EXPECT_EQ(scheduler_->Get(id)->state, JobState::kRunning);
  scheduler_->Stop();
  activate_ = [](const std::string&, const std::string&) { return absl::OkStatus(); };
  Restart();
  EXPECT_TRUE(AwaitEnd(id).activation->activated);
  EXPECT_EQ(Attempts(id), "0\n") << "it is not trained again";
}

// ---------------------------------------------------------------- watching, keeping, measuring

TEST_F(TrainSchedulerTest, AWatcherHearsOfTheEndAndOfNothingOnceItHasGone) {
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
  scheduler_.reset();  // a subscription may outlive it
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

TEST_F(TrainSchedulerTest, OnlySoManyEndedJobsAreKeptAndNoneThatWaitsOrRuns) {
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
  Restart();  // which removes what is over the limit before it answers anything
  std::vector<std::string> kept;
  for (const TrainJob& job : scheduler_->List()) kept.push_back(job.id);
  EXPECT_THAT(kept, ElementsAre(ended[3], ended[2], waiting, running));
  EXPECT_EQ(scheduler_->Get(ended[0]).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(fs::exists(JobDirectory(ended[0])));
}

TEST_F(TrainSchedulerTest, ASucceededJobGivesItsWorkingRoomBack) {
  Start();
  const std::string failed = Create({{kFakeError, "INTERNAL"}});
  AwaitEnd(failed);
  const std::string succeeded = Create({});
  AwaitEnd(succeeded);
  EXPECT_TRUE(fs::exists(JobDirectory(failed) / kWorkDirectory)) << "it can be resumed";
  EXPECT_FALSE(fs::exists(JobDirectory(succeeded) / kWorkDirectory));
  scheduler_->Stop();
  for (const auto& entry : fs::directory_iterator(options_.jobs)) {
    EXPECT_THAT(entry.path().filename().string(), Not(StartsWith(".removed")));
  }
}

TEST_F(TrainSchedulerTest, MetricsTellOfJobs) {
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

TEST_F(TrainSchedulerTest, ManyCallersAtOnceGetEachTheirOwnJob) {
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
