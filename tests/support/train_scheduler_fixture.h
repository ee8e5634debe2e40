// A TrainScheduler whose jobs run as processes of the fake trainer (fake_trainer.cc).
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "model/training/train_run.h"
#include "server/jobs/train_job.h"
#include "server/jobs/train_scheduler.h"
#include "server/jobs/trainer_process.h"
#include "server/telemetry/metrics.h"
#include "server/util/mutex.h"
#include "tests/support/fake_trainer.h"
#include "tests/support/paths.h"
#include "tests/support/sync.h"
#include "tests/support/temp_directory.h"

namespace proad::server {

class TrainSchedulerTest : public ::testing::Test {
 protected:
  using Labels = std::map<std::string, std::string>;
  static constexpr absl::Duration kDeadline = absl::Minutes(2);  // of every wait

  TrainSchedulerTest() {
    options_.jobs = directory_ / "jobs";
    options_.store = directory_ / "store";
    options_.trainer = proad::testing::BuildFolder() / "tests/unit/fake_trainer";
    options_.poll = absl::Milliseconds(5);
    options_.threads = 1;
    // SIGTERM must be enough, on a busy machine too; tests of SIGKILL set these.
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
    scheduler_.reset();  // first, since it would restart the trainers
    for (const TrainJob& job : jobs) {
      testing::Release(JobDirectory(job.id));
      TrainerProcess(JobDirectory(job.id)).Kill();
    }
  }

  void Start() {
    auto scheduler = TrainScheduler::Start(options_, activate_, metrics_);
    ASSERT_TRUE(scheduler.ok()) << scheduler.status();
    scheduler_ = *std::move(scheduler);
  }
  // Like a server that is killed: the next one has only the files.
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

  // Waits until `wanted` holds for the job, and returns the job; an empty one, and a failure that
  // names the job and its state, after the deadline.
  TrainJob Await(const std::string& id, const std::function<bool(const TrainJob&)>& wanted) {
    const absl::Time deadline = absl::Now() + kDeadline;
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
      while (changes == seen) {
        if (!changed.WaitUntil(mutex, deadline) && changes == seen) {
          ADD_FAILURE() << "job " << id << " is still " << NameOf(job->state) << " after "
                        << kDeadline << ": " << job->reason;
          return TrainJob();
        }
      }
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
  TrainJob AwaitPhase(const std::string& id, model::TrainPhase phase) {
    return Await(id, [phase](const TrainJob& job) {
      return job.progress && job.progress->train.phase == phase;
    });
  }

  std::filesystem::path JobDirectory(const std::string& id) const { return options_.jobs / id; }
  std::string Attempts(const std::string& id) const {
    return testing::ReadText(JobDirectory(id) / testing::kFakeAttempts);
  }
  pid_t TrainerOf(const std::string& id) const { return TrainerLock::Holder(JobDirectory(id)); }
  // Waits until no process holds the job's lock. No scheduler may run.
  void AwaitTrainerExit(const std::string& id) const {
    const absl::Time deadline = absl::Now() + kDeadline;
    while (TrainerOf(id) != 0) {
      ASSERT_LT(absl::Now(), deadline) << "trainer " << TrainerOf(id) << " of job " << id
                                       << " did not exit within " << kDeadline;
      std::this_thread::yield();
    }
  }

  const testing::TempDirectory directory_;
  TrainScheduler::Options options_;
  Metrics metrics_;
  Activate activate_;
  Collected<std::string> activated_;
  std::unique_ptr<TrainScheduler> scheduler_;
};

}  // namespace proad::server
