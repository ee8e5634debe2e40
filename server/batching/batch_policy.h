// Decides when to cut a batch, and of which model version: a pure function of the waiting images
// and the time. Safe to call from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace proad::server {

struct BatchOptions {
  // Most images in a batch. Larger batches are faster per image on a GPU and take device memory.
  size_t max_batch = 8;
  // Without take_when_idle, the longest time that the oldest image waits for a full batch.
  absl::Duration max_delay = absl::Milliseconds(5);
  // true: an idle worker takes the waiting images at once. false: it waits for a full batch or
  // max_delay. false pays where a batch takes the same time whatever its size, and about max_batch
  // clients each wait for their answer (server/decisions/0057-idle-workers-take-at-once.md).
  bool take_when_idle = true;
  // Without take_when_idle: an idle worker does not wait while no other admitted image is on its
  // way to the batcher.
  bool adaptive_delay = true;
};

// Why a batch was cut.
enum class BatchCause { kFull, kDelay, kDeadline, kIdleWorker, kDrain };

// "full", "delay", "deadline", "idle_worker", "drain".
absl::string_view BatchCauseName(BatchCause cause);

// The waiting images of one model version.
struct QueueView {
  size_t waiting = 0;
  // Not set when `waiting` is 0:
  absl::Time oldest = absl::InfiniteFuture();    // when the first image came
  absl::Time deadline = absl::InfiniteFuture();  // the nearest one
  int64_t rank = 0;                              // of the first image (fair_order.h)
};

// Take `count` images of `queue`, or decide again at `wake` at the latest.
struct BatchDecision {
  std::optional<size_t> queue;  // index into the views; nullopt: not yet
  size_t count = 0;
  BatchCause cause = BatchCause::kFull;
  absl::Time wake = absl::InfiniteFuture();  // when the next queue is due by delay or deadline
};

// The state of the server at the decision.
struct BatchMoment {
  bool draining = false;
  bool more_coming = true;    // images are admitted and not queued yet
  absl::Duration batch_time;  // smoothed time of a batch
  absl::Time now;
};

// The decision for an idle worker. Of the queues that are due, the one with the smallest rank wins.
BatchDecision DecideBatch(const BatchOptions& options, absl::Span<const QueueView> queues,
                          const BatchMoment& moment);

}  // namespace proad::server
