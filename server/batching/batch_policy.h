// When to cut a batch, and of which model version: a pure function of what waits and of the time.
//
// Safe to call from any thread.
#pragma once

#include <cstddef>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace proad::server {

struct BatchOptions {
  // Images in a batch at most. More is faster per image on a GPU and costs device memory.
  size_t max_batch = 8;
  // The oldest image waits this long for company at most, while every worker is busy or
  // take_when_idle is off.
  absl::Duration max_delay = absl::Milliseconds(5);
  // A worker with nothing to do takes what is there at once. Off: it waits for max_batch or
  // max_delay, which makes larger batches and costs up to max_delay of latency.
  bool take_when_idle = true;
};

// Why a batch was cut.
enum class BatchCause { kFull, kDelay, kIdleWorker, kDrain };

// "full", "delay", "idle_worker", "drain".
absl::string_view BatchCauseName(BatchCause cause);

// What waits for one model version.
struct QueueView {
  size_t waiting = 0;
  absl::Time oldest =
      absl::InfiniteFuture();  // when its first task was enqueued; meaningless when empty
};

// Take `count` tasks from the front of `queue`, or look again at `wake` at the latest.
struct BatchDecision {
  std::optional<size_t> queue;  // index into the views; nullopt: not yet
  size_t count = 0;
  BatchCause cause = BatchCause::kFull;
  absl::Time wake = absl::InfiniteFuture();  // when the first queue becomes due by max_delay
};

// What an idle worker does. Among the queues that are due the one whose first task is oldest wins,
// so that no version starves behind a busier one.
BatchDecision DecideBatch(const BatchOptions& options, absl::Span<const QueueView> queues,
                          bool draining, absl::Time now);

}  // namespace proad::server
