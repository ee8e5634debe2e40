// When to cut a batch, and of which model version: a pure function of what waits and of the time.
//
// Safe to call from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
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
  // With take_when_idle off: takes what is there at once all the same when no other image is on its
  // way, since then nobody would come to share the batch.
  bool adaptive_delay = true;
};

// Why a batch was cut.
enum class BatchCause { kFull, kDelay, kDeadline, kIdleWorker, kDrain };

// "full", "delay", "deadline", "idle_worker", "drain".
absl::string_view BatchCauseName(BatchCause cause);

// What waits for one model version.
struct QueueView {
  size_t waiting = 0;
  // Meaningless when empty:
  absl::Time oldest = absl::InfiniteFuture();    // when the first of its tasks came
  absl::Time deadline = absl::InfiniteFuture();  // the nearest of its tasks'
  int64_t rank = 0;                              // of who goes first (fair_order.h)
};

// Take `count` tasks of `queue`, or look again at `wake` at the latest.
struct BatchDecision {
  std::optional<size_t> queue;  // index into the views; nullopt: not yet
  size_t count = 0;
  BatchCause cause = BatchCause::kFull;
  absl::Time wake =
      absl::InfiniteFuture();  // when the first queue becomes due by delay or deadline
};

// What an idle worker knows besides.
struct BatchMoment {
  bool draining = false;
  bool more_coming = true;    // images that are admitted and do not wait for a worker yet
  absl::Duration batch_time;  // how long a batch takes, lately
  absl::Time now;
};

// What an idle worker does. Among the queues that are due the one of the smallest rank wins.
BatchDecision DecideBatch(const BatchOptions& options, absl::Span<const QueueView> queues,
                          const BatchMoment& moment);

}  // namespace proad::server
