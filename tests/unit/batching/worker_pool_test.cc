#include "server/batching/worker_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "server/util/status_details.h"
#include "tests/support/fake_model.h"
#include "tests/support/sync.h"

namespace proad::server {
namespace {

using ::testing::HasSubstr;

class WorkerPoolTest : public ::testing::Test {
 protected:
  ~WorkerPoolTest() override { batcher_.Close(); }

  void Enqueue(const std::shared_ptr<FakeModel>& model) {
    InferenceTask task;
    task.model = model;
    task.image = MarkedInput(1);
    task.done = [this](absl::StatusOr<InferenceResult> result) { answers_.Add(result.status()); };
    const absl::Status taken = batcher_.Enqueue(std::move(task));
    if (!taken.ok()) answers_.Add(taken);
  }

  // Sends one image and waits for its answer.
  absl::Status Ask(const std::shared_ptr<FakeModel>& model) {
    Enqueue(model);
    return answers_.Await(++asked_).back();
  }

  Metrics metrics_;
  Collected<absl::Status> answers_;
  size_t asked_ = 0;
  std::shared_ptr<FakeModel> good_ = std::make_shared<FakeModel>();
  // Does not answer until it is released: declared before the pool, whose threads it holds.
  std::shared_ptr<FakeModel> hangs_ = std::make_shared<FakeModel>(FakeManifest("hangs"));
  DynamicBatcher batcher_{{}, metrics_};
  Collected<int> changes_;
};

TEST_F(WorkerPoolTest, AHungBatchIsAnsweredAndTheNextIsServed) {
  WorkerPool pool({.workers = 1, .hang_timeout = absl::Milliseconds(40)}, "cpu", batcher_,
                  metrics_);
  EXPECT_EQ(metrics_.workers.serving.Value(), 1);
  ASSERT_TRUE(Ask(good_).ok());
  hangs_->Hold();
  const absl::Status hung = Ask(hangs_);
  EXPECT_EQ(hung.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(GetDetails(hung).reason, "WORKER_HUNG");
  EXPECT_THAT(std::string(hung.message()), HasSubstr("did not answer within 40ms"));
  EXPECT_TRUE(Ask(good_).ok());
  EXPECT_EQ(pool.serving(), 1);
  EXPECT_TRUE(pool.has_abandoned_workers());
  EXPECT_EQ(metrics_.workers_replaced.Value(), 1);
  // The late result of the model answers no task.
  hangs_->Release();
  batcher_.Close();
  pool.Stop();
  EXPECT_EQ(answers_.size(), 3u);
}

TEST_F(WorkerPoolTest, AWorkerThatHangsThreeTimesInARowIsNotReplaced) {
  WorkerPool pool({.workers = 1, .hang_timeout = absl::Milliseconds(10)}, "cpu", batcher_, metrics_,
                  [this] { changes_.Add(1); });
  hangs_->Hold();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(GetDetails(Ask(hangs_)).reason, "WORKER_HUNG");
  changes_.Await(1);
  EXPECT_EQ(pool.serving(), 0);
  EXPECT_EQ(metrics_.workers.serving.Value(), 0);
  EXPECT_EQ(metrics_.workers.quarantined.Value(), 1);
  const absl::Status refused = Ask(good_);
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(GetDetails(refused).reason, "NO_WORKER");
  hangs_->Release();
}

TEST_F(WorkerPoolTest, AWorkerWhoseDeviceIsLostEndsAndTheOtherGoesOn) {
  WorkerPool pool({.workers = 2}, "cuda:0", batcher_, metrics_, [this] { changes_.Add(1); });
  good_->SetTwist([](const auto&, FakeModel::Answers& answers) {
    answers = absl::UnavailableError("the device is lost");
  });
  EXPECT_EQ(GetDetails(Ask(good_)).reason, "DEVICE_LOST");
  changes_.Await(1);
  EXPECT_EQ(pool.serving(), 1);
  good_->SetTwist({});
  EXPECT_TRUE(Ask(good_).ok());
  EXPECT_EQ(metrics_.workers.quarantined.Value(), 1);
  batcher_.Close();
}

TEST_F(WorkerPoolTest, WaitingTasksAreAnsweredWhenNoWorkerIsLeft) {
  WorkerPool pool({.workers = 1}, "cuda:0", batcher_, metrics_);
  good_->Hold();
  good_->SetTwist([](const auto&, FakeModel::Answers& answers) {
    answers = absl::UnavailableError("the device is lost");
  });
  Enqueue(good_);
  good_->AwaitBatches(1);
  for (int i = 0; i < 20; ++i) Enqueue(good_);
  good_->Release();
  const std::vector<absl::Status> answers = answers_.Await(21);
  EXPECT_EQ(GetDetails(answers[0]).reason, "DEVICE_LOST");
  for (size_t i = 1; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(GetDetails(answers[i]).reason, "NO_WORKER");
  }
  EXPECT_EQ(metrics_.rejected.no_worker.Value(), 20);
}

TEST_F(WorkerPoolTest, AbandonsABusyWorkerSoThatTheServerCanStop) {
  WorkerPool pool({.workers = 1}, "cpu", batcher_, metrics_);
  hangs_->Hold();
  Enqueue(hangs_);
  hangs_->AwaitBatches(1);
  pool.AbandonBusyWorkers();
  EXPECT_EQ(GetDetails(answers_.Await(1)[0]).reason, "DRAINING");
  batcher_.Close();
  pool.Stop();  // though the model has not returned
  EXPECT_TRUE(pool.has_abandoned_workers());
  hangs_->Release();
}

}  // namespace
}  // namespace proad::server
