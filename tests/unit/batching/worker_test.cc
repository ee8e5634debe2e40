#include "server/batching/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "server/util/status_details.h"
#include "tests/support/fake_model.h"
#include "tests/support/sync.h"

namespace proad::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Answer {
  uint32_t marker = 0;
  absl::Status status;
  InferenceResult result;
};

class WorkerTest : public ::testing::Test {
 protected:
  ~WorkerTest() override { batcher_.Close(); }

  void Enqueue(uint32_t marker, bool want_map = false) {
    InferenceTask task;
    task.model = model_;
    task.image = MarkedInput(marker);
    task.want_map = want_map;
    task.done = [this, marker](absl::StatusOr<InferenceResult> result) {
      answers_.Add({marker, result.status(), result.ok() ? *result : InferenceResult()});
    };
    ASSERT_TRUE(batcher_.Enqueue(std::move(task)).ok());
  }

  // Runs the images as one batch and returns their answers, in the order of the batch.
  std::vector<Answer> RunBatch(const std::vector<uint32_t>& markers, bool want_map = false) {
    for (uint32_t marker : markers) Enqueue(marker, want_map);
    Worker worker(0, "cpu", batcher_, metrics_);
    std::vector<Answer> answers = answers_.Await(markers.size());
    batcher_.Close();
    return answers;
  }

  Metrics metrics_;
  Collected<Answer> answers_;
  std::shared_ptr<FakeModel> model_ = std::make_shared<FakeModel>();
  DynamicBatcher batcher_{{}, metrics_};
};

TEST_F(WorkerTest, GivesEachImageItsOwnAnswer) {
  const std::vector<Answer> answers = RunBatch({100, 200, 300}, true);
  for (const Answer& answer : answers) {
    ASSERT_TRUE(answer.status.ok()) << answer.status;
    EXPECT_EQ(answer.result.inference.score, FakeScore(answer.marker));
    EXPECT_EQ(answer.result.inference.map, FakeModel::Map(FakeScore(answer.marker)));
    EXPECT_EQ(answer.result.image.pixels, MarkedInput(answer.marker).pixels);
    EXPECT_EQ(answer.result.batch_size, 3);
    EXPECT_GE(answer.result.batch_wait, absl::ZeroDuration());
  }
}

TEST_F(WorkerTest, AnExceptionFailsItsBatchOnly) {
  Worker worker(0, "cpu", batcher_, metrics_);
  model_->SetTwist([](const auto& markers, auto&) {
    if (markers.front() == 13) throw std::runtime_error("shape [2, 3] instead of [2, 4]");
    if (markers.front() == 14) throw 42;
  });
  Enqueue(13);
  answers_.Await(1);
  Enqueue(14);
  answers_.Await(2);
  Enqueue(15);
  const std::vector<Answer> answers = answers_.Await(3);
  EXPECT_EQ(answers[0].status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(answers[0].status.message()), HasSubstr("shape [2, 3]"));
  EXPECT_EQ(GetDetails(answers[0].status).reason, "MODEL_FAILED");
  EXPECT_EQ(answers[1].status.code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(answers[2].status.ok());
  batcher_.Close();
}

TEST_F(WorkerTest, AWrongNumberOfResultsFailsTheBatch) {
  model_->SetTwist([](const auto&, FakeModel::Answers& answers) { answers->pop_back(); });
  for (const Answer& answer : RunBatch({1, 2})) {
    EXPECT_EQ(answer.status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(answer.status.message()), HasSubstr("1 of 2 images"));
  }
}

TEST_F(WorkerTest, AScoreThatIsNotFiniteIsAnError) {
  model_->SetTwist([](const auto& markers, FakeModel::Answers& answers) {
    for (size_t i = 0; i < markers.size(); ++i) {
      if (markers[i] == 13) (*answers)[i].score = std::nan("");
      if (markers[i] == 14) (*answers)[i].score = std::numeric_limits<double>::infinity();
    }
  });
  const std::vector<Answer> answers = RunBatch({12, 13, 14});
  EXPECT_TRUE(answers[0].status.ok());
  for (int bad : {1, 2}) {
    EXPECT_EQ(answers[bad].status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(answers[bad].status.message()), HasSubstr("score"));
    EXPECT_EQ(GetDetails(answers[bad].status).reason, "NON_FINITE_OUTPUT");
  }
}

TEST_F(WorkerTest, AMapThatIsNotFiniteIsAnError) {
  model_->SetTwist([](const auto& markers, FakeModel::Answers& answers) {
    for (size_t i = 0; i < markers.size(); ++i) {
      if (markers[i] == 13) (*answers)[i].map[5] = std::nanf("");
    }
  });
  const std::vector<Answer> answers = RunBatch({12, 13}, true);
  EXPECT_TRUE(answers[0].status.ok());
  EXPECT_EQ(answers[1].status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(answers[1].status.message()), HasSubstr("map"));
}

TEST_F(WorkerTest, AMapOfTheWrongSizeIsAnError) {
  model_->SetTwist([](const auto&, FakeModel::Answers& answers) { (*answers)[0].map.pop_back(); });
  const std::vector<Answer> answers = RunBatch({12}, true);
  EXPECT_EQ(answers[0].status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(answers[0].status.message()), HasSubstr("63 values instead of 64"));
}

TEST_F(WorkerTest, ABatchTooLargeForTheDeviceIsHalvedOnce) {
  model_->SetTwist([](const auto& markers, FakeModel::Answers& answers) {
    if (markers.size() > 2) answers = absl::ResourceExhaustedError("device out of memory");
  });
  for (const Answer& answer : RunBatch({1, 2, 3, 4})) {
    ASSERT_TRUE(answer.status.ok()) << answer.status;
    EXPECT_EQ(answer.result.inference.score, FakeScore(answer.marker));
  }
  EXPECT_THAT(model_->AwaitBatches(3),
              ElementsAre(ElementsAre(1, 2, 3, 4), ElementsAre(1, 2), ElementsAre(3, 4)));
}

TEST_F(WorkerTest, ABatchThatDoesNotFitInHalvesIsRefused) {
  model_->SetTwist([](const auto&, FakeModel::Answers& answers) {
    answers = absl::ResourceExhaustedError("device out of memory");
  });
  for (const Answer& answer : RunBatch({1, 2, 3, 4})) {
    EXPECT_EQ(answer.status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(GetDetails(answer.status).reason, "DEVICE_OUT_OF_MEMORY");
  }
  EXPECT_EQ(model_->AwaitBatches(3).size(), 3u);
}

TEST_F(WorkerTest, ALostDeviceIsUnavailable) {
  model_->SetTwist([](const auto&, FakeModel::Answers& answers) {
    answers = absl::UnavailableError("device lost");
  });
  const std::vector<Answer> answers = RunBatch({1});
  EXPECT_EQ(answers[0].status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(GetDetails(answers[0].status).reason, "DEVICE_LOST");
}

TEST_F(WorkerTest, RunsWaitingTasksBeforeItEnds) {
  model_->Hold();
  {
    Worker worker(0, "cpu", batcher_, metrics_);
    Enqueue(1);
    model_->AwaitBatches(1);
    for (uint32_t marker = 2; marker < 30; ++marker) Enqueue(marker);
    batcher_.Close();
    model_->Release();
  }
  EXPECT_EQ(answers_.size(), 29u);
  for (const Answer& answer : answers_.Await(29)) EXPECT_TRUE(answer.status.ok());
}

}  // namespace
}  // namespace proad::server
