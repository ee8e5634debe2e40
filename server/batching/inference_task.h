// One prepared image waiting for a device, and what comes of it.
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

// Set once when nobody waits for the answer any more; shared by whoever may notice and whoever does
// the work. Null: cannot be cancelled.
using CancelFlag = std::shared_ptr<std::atomic<bool>>;

// A worker's answer to one task.
struct InferenceResult {
  Inference inference;            // finite
  model::PreparedImage image;     // the task's own, handed back
  absl::Duration batch_wait;      // from Enqueue to the cut of the batch
  absl::Duration inference_time;  // of the whole batch
  int batch_size = 0;
};

// Move-only. Whoever holds a task owes its `done` exactly one call.
struct InferenceTask {
  ModelHandle model;           // never null
  model::PreparedImage image;  // matches model->manifest().preprocessing
  bool want_map = false;
  size_t flow = 0;  // tasks of one flow take turns with those of the others (fair_order.h)
  absl::Time enqueued = absl::InfinitePast();  // set by DynamicBatcher::Enqueue
  absl::Time deadline = absl::InfiniteFuture();
  CancelFlag cancelled;
  // Called once, from any thread and outside every lock; must not block and must not throw.
  absl::AnyInvocable<void(absl::StatusOr<InferenceResult>)> done;
};

// Whether nobody waits for the answer any more.
bool IsUnwanted(absl::Time deadline, const CancelFlag& cancelled, absl::Time now);

// The answer to work that IsUnwanted, counted: CANCELLED or DEADLINE_EXCEEDED. `stage` says what it
// was waiting for.
absl::Status DropUnwanted(const CancelFlag& cancelled, absl::string_view stage, Metrics& metrics);

}  // namespace proad::server
