#include "server/batching/worker.h"

#include <pthread.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "server/telemetry/log.h"
#include "server/util/exception_status.h"
#include "server/util/mutex.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"
#include "server/util/time_slice.h"

namespace proad::server {
namespace {

using Inferences = std::vector<Inference>;

// Long: threads that answer, refuse or decode have shorter slices and run first.
constexpr absl::Duration kTimeSlice = absl::Milliseconds(20);

absl::Status ModelFailed(absl::string_view what) {
  return MakeError(absl::StatusCode::kInternal,
                   absl::StrCat("the model failed on this batch: ", what),
                   {.reason = reason::kModelFailed});
}

// `status` of a model, with a reason added where it has none.
absl::Status WithReason(const absl::Status& status) {
  if (!GetDetails(status).reason.empty()) return status;
  const char* reason = reason::kModelFailed;
  if (absl::IsResourceExhausted(status)) reason = reason::kDeviceOutOfMemory;
  if (absl::IsUnavailable(status)) reason = reason::kDeviceLost;
  return MakeError(status.code(), status.message(), {.reason = reason});
}

// Calls the model. An exception or a wrong number of results becomes a status.
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
          absl::StrCat("the model answered ", inferences->size(), " of ", tasks.size(), " images"));
    }
    return inferences;
  } catch (...) {
    return ModelFailed(StatusOfCurrentException().message());
  }
}

// Returns one result or error for each task. Runs the batch in two halves when the device reports
// that its memory does not suffice for the whole.
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
                     {.reason = reason::kNonFiniteOutput});
  }
  if (!task.want_map) return absl::OkStatus();
  if (inference.map.size() != side * side) {
    return ModelFailed(
        absl::StrCat("the map has ", inference.map.size(), " values instead of ", side * side));
  }
  if (!std::all_of(inference.map.begin(), inference.map.end(),
                   [](float value) { return std::isfinite(value); })) {
    return MakeError(absl::StatusCode::kInternal,
                     "the model's anomaly map of this image is not finite",
                     {.reason = reason::kNonFiniteOutput});
  }
  return absl::OkStatus();
}

// Answers each task of a batch. Returns the first error, if there is one.
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

// The batch is shared: the model reads its images until it returns, and Abandon takes the callbacks.
class Worker::State {
 public:
  explicit State(int worker) : index(worker) {}

  const int index;  // of the worker

  void StartBatch(std::shared_ptr<Batch> batch) {
    MutexLock lock(mutex_);
    batch_ = std::move(batch);
    since_ = absl::Now();
  }

  // The model has returned. False when the worker was abandoned meanwhile.
  bool FinishBatch() {
    MutexLock lock(mutex_);
    if (abandoned_) return false;
    batch_ = nullptr;
    finished_a_batch_ = true;
    return true;
  }

  void SetDeviceLost() {
    MutexLock lock(mutex_);
    device_lost_ = true;
  }

  bool Abandon(const absl::Status& why) {
    std::shared_ptr<Batch> batch;
    {
      MutexLock lock(mutex_);
      if (batch_ == nullptr || abandoned_) return false;
      abandoned_ = true;
      batch = batch_;
    }
    LogFailure(index, *batch, why);
    for (InferenceTask& task : batch->tasks) std::exchange(task.done, nullptr)(why);
    return true;
  }

  absl::Time busy_since() const {
    MutexLock lock(mutex_);
    return batch_ == nullptr || abandoned_ ? absl::InfiniteFuture() : since_;
  }

  bool finished_a_batch() const {
    MutexLock lock(mutex_);
    return finished_a_batch_;
  }

  bool device_lost() const {
    MutexLock lock(mutex_);
    return device_lost_;
  }

  bool abandoned() const {
    MutexLock lock(mutex_);
    return abandoned_;
  }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<Batch> batch_ ABSL_GUARDED_BY(mutex_);
  absl::Time since_ ABSL_GUARDED_BY(mutex_);
  bool finished_a_batch_ ABSL_GUARDED_BY(mutex_) = false;
  bool device_lost_ ABSL_GUARDED_BY(mutex_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;
};

Worker::Worker(int index, const std::string& device, DynamicBatcher& batcher, Metrics& metrics,
               std::function<void()> on_lost)
    : state_(std::make_shared<State>(index)),
      thread_([state = state_, &batcher, &busy = metrics.WorkerBusySeconds(index, device),
               on_lost = std::move(on_lost)] { Run(state, batcher, busy, on_lost); }) {
  pthread_setname_np(thread_.native_handle(), absl::StrCat("worker-", index).c_str());
}

Worker::~Worker() {
  if (state_->abandoned()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

absl::Time Worker::busy_since() const { return state_->busy_since(); }

bool Worker::finished_a_batch() const { return state_->finished_a_batch(); }

bool Worker::device_lost() const { return state_->device_lost(); }

bool Worker::Abandon(const absl::Status& why) { return state_->Abandon(why); }

void Worker::Run(const std::shared_ptr<State>& state, DynamicBatcher& batcher,
                 prometheus::Counter& busy_seconds, const std::function<void()>& on_lost) {
  SetTimeSlice(kTimeSlice);
  while (std::optional<Batch> cut = batcher.Next()) {
    const auto batch = std::make_shared<Batch>(*std::move(cut));
    state->StartBatch(batch);
    const absl::Time start = absl::Now();
    std::vector<absl::StatusOr<Inference>> results = InferEach(batch->tasks, state->index);
    const absl::Duration took = absl::Now() - start;
    if (!state->FinishBatch()) return;
    busy_seconds.Increment(absl::ToDoubleSeconds(took));
    batcher.RecordBatchTime(took);
    const absl::Status error = Answer(*batch, std::move(results), took);
    if (!error.ok()) LogFailure(state->index, *batch, error);
    if (absl::IsUnavailable(error)) {
      state->SetDeviceLost();
      on_lost();
      return;
    }
  }
}

}  // namespace proad::server
