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
#include "server/util/status_details.h"

namespace proad::server {
namespace {

using Inferences = std::vector<Inference>;

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

}  // namespace

Worker::Worker(int index, const std::string& device, DynamicBatcher& batcher, Metrics& metrics)
    : index_(index),
      batcher_(batcher),
      busy_seconds_(metrics.WorkerBusySeconds(index, device)),
      thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), absl::StrCat("worker-", index).c_str());
}

Worker::~Worker() { thread_.join(); }

void Worker::Run() {
  while (std::optional<Batch> batch = batcher_.Next()) RunBatch(*std::move(batch));
}

void Worker::RunBatch(Batch batch) {
  const absl::Time start = absl::Now();
  std::vector<absl::StatusOr<Inference>> results = InferEach(batch.tasks, index_);
  const absl::Duration took = absl::Now() - start;
  busy_seconds_.Increment(absl::ToDoubleSeconds(took));

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
  if (!first_error.ok()) {
    const model::Manifest& manifest = batch.tasks.front().model->manifest();
    Log(LogLevel::kError, "batch failed",
        {{"worker", index_},
         {"model", manifest.name},
         {"version", manifest.version},
         {"images", batch.tasks.size()},
         {"error", first_error}});
  }
}

}  // namespace proad::server
