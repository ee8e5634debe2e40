// A prepared image that waits for a worker, and its result.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/picture/preprocess.h"
#include "server/serving/servable_model.h"
#include "server/telemetry/metrics.h"

namespace proad::server {

// Set when the client no longer waits for the answer. Shared by the call and the stages of the
// image. Null: the image cannot be cancelled.
using CancelFlag = std::shared_ptr<std::atomic<bool>>;

// The result of one task.
struct InferenceResult {
  Inference inference;            // finite
  model::PreparedImage image;     // of the task, moved back
  absl::Duration batch_wait;      // from Enqueue to the cut of the batch
  absl::Duration inference_time;  // of the whole batch
  int batch_size = 0;
};

// Move-only. The owner of a task must call its `done` exactly once.
struct InferenceTask {
  ModelHandle model;           // never null
  model::PreparedImage image;  // matches model->manifest().preprocessing
  bool want_map = false;
  size_t flow = 0;                             // flows are served in turn (fair_order.h)
  absl::Time enqueued = absl::InfinitePast();  // set by DynamicBatcher::Enqueue
  absl::Time deadline = absl::InfiniteFuture();
  CancelFlag cancelled;
  // Called once, from any thread and outside every lock; must not block and must not throw.
  absl::AnyInvocable<void(absl::StatusOr<InferenceResult>)> done;
};

// Whether the deadline has passed or the image is cancelled.
bool IsUnwanted(absl::Time deadline, const CancelFlag& cancelled, absl::Time now);

// The status of an image for which IsUnwanted is true: CANCELLED or DEADLINE_EXCEEDED. Counts it in
// `metrics`. The message says that the image waited for `stage`.
absl::Status DropUnwanted(const CancelFlag& cancelled, absl::string_view stage, Metrics& metrics);

}  // namespace proad::server
