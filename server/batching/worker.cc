#include "server/batching/worker.h"

#include <pthread.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "server/telemetry/log.h"
#include "server/util/mutex.h"
#include "server/util/status_details.h"
#include "server/util/thread_turn.h"

namespace proad::server {
namespace {

using Inferences = std::vector<Inference>;

// Long ones: whoever answers, refuses or decodes goes first.
constexpr absl::Duration kTurn = absl::Milliseconds(20);

absl::Status ModelFailed(absl::string_view what) {
  return MakeError(absl::StatusCode::kInternal,
                   absl::StrCat("the model failed on this batch: ", what),
                   {.reason = "MODEL_FAILED"});
}

// A model's error with a reason for machines, if it gave none.
absl::Status WithReason(const absl::Status& status) {
  if (!GetDetails(status).reason.empty()) return status;
  const char* reason = "MODEL_FAILED";
  if (absl::IsResourceExhausted(status)) reason = "DEVICE_OUT_OF_MEMORY";
  if (absl::IsUnavailable(status)) reason = "DEVICE_LOST";
  return MakeError(status.code(), status.message(), {.reason = reason});
}

// Calls the model; its exceptions and its miscounts become a status.
absl::StatusOr<Inferences> Infer(absl::Span<const InferenceTask> tasks, int worker) {
  std::vector<const model::PreparedImage*> images;
  const auto want_map = std::make_unique<bool[]>(tasks.size());
  for (size_t i = 0; i < tasks.size(); ++i) {
    images.push_back(&tasks[i].image);
    want_map[i] = tasks[i].want_map;
  }
  ServableModel& model = *tasks.front().model;
  try {
    absl::StatusOr<Inferences> inferences =
        model.Infer(images, absl::MakeConstSpan(want_map.get(), tasks.size()), worker);
    if (inferences.ok() && inferences->size() != tasks.size()) {
      return ModelFailed(
          absl::StrCat("it answered ", inferences->size(), " of ", tasks.size(), " images"));
    }
    return inferences;
  } catch (const std::exception& error) {
    return ModelFailed(error.what());
  } catch (...) {
    return ModelFailed("an exception of unknown type");
  }
}

// One result or error for each task: whole when it fits, in two halves when the device says that
// its memory does not suffice.
std::vector<absl::StatusOr<Inference>> InferEach(absl::Span<const InferenceTask> tasks, int worker,
                                                 bool may_halve = true) {
  std::vector<absl::StatusOr<Inference>> results;
  absl::StatusOr<Inferences> inferences = Infer(tasks, worker);
  if (inferences.ok()) {
    for (Inference& inference : *inferences) results.emplace_back(std::move(inference));
  } else if (may_halve && tasks.size() > 1 && absl::IsResourceExhausted(inferences.status())) {
    const size_t half = tasks.size() / 2;
    results = InferEach(tasks.first(half), worker, false);
    auto rest = InferEach(tasks.subspan(half), worker, false);
    std::move(rest.begin(), rest.end(), std::back_inserter(results));
  } else {
    results.assign(tasks.size(), WithReason(inferences.status()));
  }
  return results;
}

absl::Status CheckFinite(const InferenceTask& task, const Inference& inference) {
  const size_t side = static_cast<size_t>(task.model->map_side());
  if (!std::isfinite(inference.score)) {
    return MakeError(absl::StatusCode::kInternal, "the model's score of this image is not finite",
                     {.reason = "NON_FINITE_OUTPUT"});
  }
  if (!task.want_map) return absl::OkStatus();
  if (inference.map.size() != side * side) {
    return ModelFailed(
        absl::StrCat("its map has ", inference.map.size(), " values instead of ", side * side));
  }
  if (!std::all_of(inference.map.begin(), inference.map.end(),
                   [](float value) { return std::isfinite(value); })) {
    return MakeError(absl::StatusCode::kInternal,
                     "the model's anomaly map of this image is not finite",
                     {.reason = "NON_FINITE_OUTPUT"});
  }
  return absl::OkStatus();
}

// Answers each task of a batch; the first error of all, if there was one.
absl::Status Answer(Batch& batch, std::vector<absl::StatusOr<Inference>> results,
                    absl::Duration took) {
  absl::Status first_error;
  for (size_t i = 0; i < batch.tasks.size(); ++i) {
    InferenceTask& task = batch.tasks[i];
    absl::Status status = results[i].status();
    if (status.ok()) status = CheckFinite(task, *results[i]);
    if (!status.ok()) {
      first_error.Update(status);
      task.done(std::move(status));
      continue;
    }
    InferenceResult result;
    result.inference = *std::move(results[i]);
    result.image = std::move(task.image);
    result.batch_wait = batch.cut - task.enqueued;
    result.inference_time = took;
    result.batch_size = static_cast<int>(batch.tasks.size());
    task.done(std::move(result));
  }
  return first_error;
}

void LogFailure(int worker, const Batch& batch, const absl::Status& error) {
  const model::Manifest& manifest = batch.tasks.front().model->manifest();
  Log(LogLevel::kError, "batch failed",
      {{"worker", worker},
       {"model", manifest.name},
       {"version", manifest.version},
       {"images", batch.tasks.size()},
       {"error", error}});
}

}  // namespace

// The batch belongs to both: the thread reads its images as long as the model does, and whoever
// gives it up takes the callbacks.
class Worker::Hand {
 public:
  explicit Hand(int worker) : index(worker) {}

  const int index;  // of the worker

  void Take(std::shared_ptr<Batch> batch) {
    MutexLock lock(mutex_);
    batch_ = std::move(batch);
    since_ = absl::Now();
  }

  // The model has returned; false when it was given up in between.
  bool PutDown() {
    MutexLock lock(mutex_);
    if (given_up_) return false;
    batch_ = nullptr;
    proven_ = true;
    return true;
  }

  void Lose() {
    MutexLock lock(mutex_);
    lost_ = true;
  }

  bool GiveUp(const absl::Status& why) {
    std::shared_ptr<Batch> batch;
    {
      MutexLock lock(mutex_);
      if (batch_ == nullptr || given_up_) return false;
      given_up_ = true;
      batch = batch_;
    }
    LogFailure(index, *batch, why);
    for (InferenceTask& task : batch->tasks) std::exchange(task.done, nullptr)(why);
    return true;
  }

  absl::Time busy_since() const {
    MutexLock lock(mutex_);
    return batch_ == nullptr || given_up_ ? absl::InfiniteFuture() : since_;
  }

  bool proven() const {
    MutexLock lock(mutex_);
    return proven_;
  }

  bool lost() const {
    MutexLock lock(mutex_);
    return lost_;
  }

  bool given_up() const {
    MutexLock lock(mutex_);
    return given_up_;
  }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<Batch> batch_ ABSL_GUARDED_BY(mutex_);
  absl::Time since_ ABSL_GUARDED_BY(mutex_);
  bool proven_ ABSL_GUARDED_BY(mutex_) = false;
  bool lost_ ABSL_GUARDED_BY(mutex_) = false;
  bool given_up_ ABSL_GUARDED_BY(mutex_) = false;
};

Worker::Worker(int index, const std::string& device, DynamicBatcher& batcher, Metrics& metrics,
               std::function<void()> on_lost)
    : hand_(std::make_shared<Hand>(index)),
      thread_([hand = hand_, &batcher, &busy = metrics.WorkerBusySeconds(index, device),
               on_lost = std::move(on_lost)] { Run(hand, batcher, busy, on_lost); }) {
  pthread_setname_np(thread_.native_handle(), absl::StrCat("worker-", index).c_str());
}

Worker::~Worker() {
  if (hand_->given_up()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

absl::Time Worker::busy_since() const { return hand_->busy_since(); }

bool Worker::proven() const { return hand_->proven(); }

bool Worker::lost() const { return hand_->lost(); }

bool Worker::GiveUp(const absl::Status& why) { return hand_->GiveUp(why); }

void Worker::Run(const std::shared_ptr<Hand>& hand, DynamicBatcher& batcher,
                 prometheus::Counter& busy_seconds, const std::function<void()>& on_lost) {
  TakeTurnsOf(kTurn);
  while (std::optional<Batch> cut = batcher.Next()) {
    const auto batch = std::make_shared<Batch>(*std::move(cut));
    hand->Take(batch);
    const absl::Time start = absl::Now();
    std::vector<absl::StatusOr<Inference>> results = InferEach(batch->tasks, hand->index);
    const absl::Duration took = absl::Now() - start;
    if (!hand->PutDown()) return;
    busy_seconds.Increment(absl::ToDoubleSeconds(took));
    batcher.Ran(took);
    const absl::Status error = Answer(*batch, std::move(results), took);
    if (!error.ok()) LogFailure(hand->index, *batch, error);
    if (absl::IsUnavailable(error)) {
      hand->Lose();
      on_lost();
      return;
    }
  }
}

}  // namespace proad::server
