#include "server/batching/dynamic_batcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "server/util/status_details.h"
#include "tests/support/fake_model.h"
#include "tests/support/sync.h"

namespace proad::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Statuses = Collected<absl::Status>;

InferenceTask Task(ModelHandle model, Statuses& answers, uint32_t marker = 0) {
  InferenceTask task;
  task.model = std::move(model);
  task.image = MarkedInput(marker);
  task.done = [&answers](absl::StatusOr<InferenceResult> result) { answers.Add(result.status()); };
  return task;
}

void AnswerAll(Batch& batch) {
  for (InferenceTask& task : batch.tasks) task.done(InferenceResult());
}

std::vector<int> Markers(const Batch& batch) {
  std::vector<int> markers;
  for (const InferenceTask& task : batch.tasks) markers.push_back(task.image.pixels[2]);
  return markers;
}

class DynamicBatcherTest : public ::testing::Test {
 protected:
  DynamicBatcher::Options Waiting() {
    return {.batch = {.max_batch = 3,
                      .max_delay = absl::Hours(1),
                      .take_when_idle = false,
                      .adaptive_delay = false},
            .max_waiting = 8};
  }

  Metrics metrics_;
  Statuses answers_;
  std::shared_ptr<FakeModel> model_ = std::make_shared<FakeModel>();
};

TEST_F(DynamicBatcherTest, HandsOutTasksInOrderAndNoMoreThanABatch) {
  DynamicBatcher batcher(Waiting(), metrics_);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(batcher.Enqueue(Task(model_, answers_, i)).ok());
  EXPECT_EQ(batcher.waiting(), 5u);
  std::optional<Batch> batch = batcher.Next();
  ASSERT_TRUE(batch.has_value());
  EXPECT_THAT(Markers(*batch), ElementsAre(0, 1, 2));
  EXPECT_EQ(batch->cause, BatchCause::kFull);
  EXPECT_EQ(metrics_.batch_dispatch.full.Value(), 1);
  AnswerAll(*batch);
  batcher.Close();
  batch = batcher.Next();
  ASSERT_TRUE(batch.has_value());
  EXPECT_THAT(Markers(*batch), ElementsAre(3, 4));
  EXPECT_EQ(batch->cause, BatchCause::kDrain);
  AnswerAll(*batch);
  EXPECT_FALSE(batcher.Next().has_value());
  EXPECT_EQ(answers_.size(), 5u);
}

TEST_F(DynamicBatcherTest, NeverMixesVersions) {
  const auto other = std::make_shared<FakeModel>(FakeManifest("fake", "2"));
  DynamicBatcher batcher(Waiting(), metrics_);
  for (int i = 0; i < 6; ++i) {
    const ModelHandle model = i % 2 == 0 ? model_ : other;
    ASSERT_TRUE(batcher.Enqueue(Task(model, answers_, i)).ok());
  }
  std::optional<Batch> first = batcher.Next();
  std::optional<Batch> second = batcher.Next();
  EXPECT_THAT(Markers(*first), ElementsAre(0, 2, 4));
  EXPECT_THAT(Markers(*second), ElementsAre(1, 3, 5));
  AnswerAll(*first);
  AnswerAll(*second);
}

TEST_F(DynamicBatcherTest, AFloodOfOneFlowDoesNotDelayTheOthers) {
  DynamicBatcher batcher(Waiting(), metrics_);
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(batcher.Enqueue(Task(model_, answers_, i)).ok());
  InferenceTask other = Task(model_, answers_, 6);
  other.flow = 1;
  ASSERT_TRUE(batcher.Enqueue(std::move(other)).ok());
  std::optional<Batch> first = batcher.Next();
  ASSERT_TRUE(first.has_value());
  EXPECT_THAT(Markers(*first), ElementsAre(0, 6, 1));
  AnswerAll(*first);
}

TEST_F(DynamicBatcherTest, TheNearestDeadlineGoesFirst) {
  DynamicBatcher batcher(Waiting(), metrics_);
  const absl::Time now = absl::Now();
  for (int i = 0; i < 4; ++i) {
    InferenceTask task = Task(model_, answers_, i);
    task.deadline = now + absl::Hours(4 - i);
    ASSERT_TRUE(batcher.Enqueue(std::move(task)).ok());
  }
  std::optional<Batch> first = batcher.Next();
  ASSERT_TRUE(first.has_value());
  EXPECT_THAT(Markers(*first), ElementsAre(3, 2, 1));
  AnswerAll(*first);
}

TEST_F(DynamicBatcherTest, ABatchIsCutEarlyForADeadline) {
  DynamicBatcher batcher(Waiting(), metrics_);
  batcher.RecordBatchTime(absl::Minutes(2));
  InferenceTask task = Task(model_, answers_);
  task.deadline = absl::Now() + absl::Minutes(3);
  ASSERT_TRUE(batcher.Enqueue(std::move(task)).ok());
  std::optional<Batch> batch = batcher.Next();
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->cause, BatchCause::kDeadline);
  EXPECT_EQ(metrics_.batch_dispatch.deadline.Value(), 1);
  AnswerAll(*batch);
}

TEST_F(DynamicBatcherTest, AnIdleWorkerIsWokenByTheFirstTask) {
  DynamicBatcher::Options options = Waiting();
  options.batch.take_when_idle = true;
  DynamicBatcher batcher(options, metrics_);
  Event answered;
  std::thread worker([&] {
    std::optional<Batch> batch = batcher.Next();
    ASSERT_TRUE(batch.has_value());
    EXPECT_EQ(batch->cause, BatchCause::kIdleWorker);
    AnswerAll(*batch);
    answered.Set();
  });
  ASSERT_TRUE(batcher.Enqueue(Task(model_, answers_)).ok());
  answered.Wait();
  worker.join();
}

TEST_F(DynamicBatcherTest, AdaptiveDelayWaitsOnlyForExpectedImages) {
  DynamicBatcher::Options options = Waiting();
  options.batch.adaptive_delay = true;
  DynamicBatcher batcher(options, metrics_);
  Event cut;
  std::thread worker([&] {
    std::optional<Batch> batch = batcher.Next();
    ASSERT_TRUE(batch.has_value());
    cut.Set();
    EXPECT_THAT(Markers(*batch), ElementsAre(0, 1));
    EXPECT_EQ(batch->cause, BatchCause::kIdleWorker);
    AnswerAll(*batch);
  });
  for (int i = 0; i < 3; ++i) batcher.Expect();
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(batcher.Enqueue(Task(model_, answers_, i)).ok());
    batcher.Arrived();
  }
  EXPECT_FALSE(cut.IsSet()) << "the third may still come";
  batcher.Arrived();  // it was no picture
  worker.join();
}

TEST_F(DynamicBatcherTest, CutsWhenTheOldestHasWaitedLongEnough) {
  DynamicBatcher::Options options = Waiting();
  options.batch.max_delay = absl::Milliseconds(2);
  DynamicBatcher batcher(options, metrics_);
  ASSERT_TRUE(batcher.Enqueue(Task(model_, answers_)).ok());
  std::optional<Batch> batch = batcher.Next();
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->cause, BatchCause::kDelay);
  EXPECT_GE(batch->cut - batch->tasks.front().enqueued, absl::Milliseconds(2));
  AnswerAll(*batch);
}

TEST_F(DynamicBatcherTest, AnswersExpiredTasksWhileNoWorkerTakesABatch) {
  DynamicBatcher batcher({}, metrics_);
  InferenceTask task = Task(model_, answers_);
  task.deadline = absl::Now() + absl::Milliseconds(3);
  ASSERT_TRUE(batcher.Enqueue(std::move(task)).ok());
  const absl::Status status = answers_.Await(1).front();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("not inspected"));
  EXPECT_EQ(GetDetails(status).reason, "DEADLINE_EXPIRED");
  EXPECT_EQ(batcher.waiting(), 0u);
  EXPECT_EQ(metrics_.rejected.deadline_expired.Value(), 1);
}

TEST_F(DynamicBatcherTest, ANearerDeadlineThatComesLaterIsNotMissed) {
  DynamicBatcher batcher({}, metrics_);
  InferenceTask late = Task(model_, answers_, 1);
  late.deadline = absl::Now() + absl::Hours(1);
  ASSERT_TRUE(batcher.Enqueue(std::move(late)).ok());
  InferenceTask soon = Task(model_, answers_, 2);
  soon.deadline = absl::Now() + absl::Milliseconds(3);
  ASSERT_TRUE(batcher.Enqueue(std::move(soon)).ok());
  answers_.Await(1);
  EXPECT_EQ(batcher.waiting(), 1u);
}

TEST_F(DynamicBatcherTest, AnswersCancelledTasks) {
  DynamicBatcher batcher({}, metrics_);
  const CancelFlag flag = std::make_shared<std::atomic<bool>>(false);
  InferenceTask task = Task(model_, answers_);
  task.cancelled = flag;
  ASSERT_TRUE(batcher.Enqueue(std::move(task)).ok());
  flag->store(true);
  batcher.AnswerCancelled();
  EXPECT_EQ(answers_.Await(1).front().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(metrics_.rejected.cancelled.Value(), 1);
}

TEST_F(DynamicBatcherTest, AnswersTasksThatWereCancelledBeforeEnqueue) {
  DynamicBatcher batcher({}, metrics_);
  InferenceTask task = Task(model_, answers_);
  task.cancelled = std::make_shared<std::atomic<bool>>(true);
  ASSERT_TRUE(batcher.Enqueue(std::move(task)).ok());
  EXPECT_EQ(answers_.Await(1).front().code(), absl::StatusCode::kCancelled);
}

TEST_F(DynamicBatcherTest, ABatchHasNoCancelledTask) {
  DynamicBatcher batcher(Waiting(), metrics_);
  const CancelFlag flag = std::make_shared<std::atomic<bool>>(false);
  for (int i = 0; i < 3; ++i) {
    InferenceTask task = Task(model_, answers_, i);
    if (i == 0) task.cancelled = flag;
    ASSERT_TRUE(batcher.Enqueue(std::move(task)).ok());
  }
  flag->store(true);
  ASSERT_TRUE(batcher.Enqueue(Task(model_, answers_, 3)).ok());
  std::optional<Batch> batch = batcher.Next();
  EXPECT_THAT(Markers(*batch), ElementsAre(1, 2, 3));
  AnswerAll(*batch);
  EXPECT_EQ(answers_.size(), 4u);
}

TEST_F(DynamicBatcherTest, AFullBatcherLeavesTheTaskToTheCaller) {
  DynamicBatcher batcher(Waiting(), metrics_);
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(batcher.Enqueue(Task(model_, answers_)).ok());
  InferenceTask task = Task(model_, answers_, 7);
  const absl::Status refused = batcher.Enqueue(std::move(task));
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("8 images wait"));
  EXPECT_EQ(GetDetails(refused).reason, "QUEUE_FULL");
  ASSERT_TRUE(task.done);
  EXPECT_EQ(task.image.pixels[2], 7);
  EXPECT_EQ(answers_.size(), 0u);
}

TEST_F(DynamicBatcherTest, RefusesTasksAfterClose) {
  DynamicBatcher batcher({}, metrics_);
  batcher.Close();
  InferenceTask task = Task(model_, answers_);
  const absl::Status refused = batcher.Enqueue(std::move(task));
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(GetDetails(refused).reason, "DRAINING");
  EXPECT_TRUE(task.done);
}

TEST_F(DynamicBatcherTest, AbortAnswersWaitingTasks) {
  DynamicBatcher batcher(Waiting(), metrics_);
  ASSERT_TRUE(batcher.Enqueue(Task(model_, answers_)).ok());
  ASSERT_TRUE(batcher.Enqueue(Task(model_, answers_)).ok());
  batcher.Abort();
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_EQ(answers_.Await(2)[1].code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(batcher.Next().has_value());
}

TEST_F(DynamicBatcherTest, DestructionLeavesNoTaskUnanswered) {
  {
    DynamicBatcher batcher(Waiting(), metrics_);
    ASSERT_TRUE(batcher.Enqueue(Task(model_, answers_)).ok());
  }
  EXPECT_EQ(answers_.size(), 1u);
}

TEST_F(DynamicBatcherTest, ReleasesAVersionAfterItsLastTask) {
  DynamicBatcher batcher({}, metrics_);
  std::weak_ptr<FakeModel> weak = model_;
  ASSERT_TRUE(batcher.Enqueue(Task(std::move(model_), answers_)).ok());
  {
    std::optional<Batch> batch = batcher.Next();
    AnswerAll(*batch);
  }
  EXPECT_TRUE(weak.expired());
}

TEST_F(DynamicBatcherTest, ReportsTheAgeOfTheOldestTask) {
  DynamicBatcher batcher(Waiting(), metrics_);
  EXPECT_EQ(batcher.oldest(), absl::ZeroDuration());
  ASSERT_TRUE(batcher.Enqueue(Task(model_, answers_)).ok());
  const absl::Duration first = batcher.oldest();
  EXPECT_GE(first, absl::ZeroDuration());
  EXPECT_GE(batcher.oldest(), first);
}

}  // namespace
}  // namespace proad::server
