// Jobs that activate their version.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/jobs/train_scheduler.h"
#include "tests/support/fake_trainer.h"
#include "tests/support/sync.h"
#include "tests/support/train_scheduler_fixture.h"

namespace proad::server {
namespace {

using namespace proad::testing;  // NOLINT: the labels
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(TrainSchedulerTest, VersionThatPassesTheGateIsActivated) {
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

TEST_F(TrainSchedulerTest, VersionThatTheGateRefusesIsPublishedAndNotActivated) {
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

TEST_F(TrainSchedulerTest, FailedActivationIsReported) {
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

TEST_F(TrainSchedulerTest, ActivationDoesNotBlockTheSchedulerAndCannotBeCancelled) {
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
  EXPECT_TRUE(scheduler_->Get(id)->outcome) << "the version is already published";
  go.Set();
  EXPECT_TRUE(AwaitEnd(id).activation->activated);
}

TEST_F(TrainSchedulerTest, ActivationThatTheShutdownPreventedIsRepeatedByTheNextServer) {
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
  AwaitTrue("Stop to begin",
            [&] { return absl::IsUnavailable(scheduler_->Cancel("unknown").status()); });
  go.Set();
  stop.join();
  EXPECT_EQ(scheduler_->Get(id)->state, JobState::kRunning);
  activate_ = [](const std::string&, const std::string&) { return absl::OkStatus(); };
  Restart();
  EXPECT_TRUE(AwaitEnd(id).activation->activated);
}

TEST_F(TrainSchedulerTest, ActivationThatADrainingServerRefusesIsRepeatedByTheNextServer) {
  Event refused;
  activate_ = [&](const std::string&, const std::string&) {
    refused.Set();
    return ActivationAttempt(absl::UnavailableError("leaving"), /*stops=*/true);
  };
  options_.concurrency = 2;
  Start();
  JobSpec spec = SpecOf({});
  spec.activate_on_success = true;
  const std::string id = scheduler_->Create(spec, "")->id;
  refused.Wait();
  AwaitEnd(Create({}));  // the scheduler continues meanwhile
  EXPECT_EQ(scheduler_->Get(id)->state, JobState::kRunning);
  scheduler_->Stop();
  activate_ = [](const std::string&, const std::string&) { return absl::OkStatus(); };
  Restart();
  EXPECT_TRUE(AwaitEnd(id).activation->activated);
  EXPECT_EQ(Attempts(id), "0\n") << "the job is not trained again";
}

}  // namespace
}  // namespace proad::server
