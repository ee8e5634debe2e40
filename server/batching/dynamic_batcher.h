// The queue of prepared images, from which workers take batches of one model version each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/batching/batch_policy.h"
#include "server/batching/fair_order.h"
#include "server/batching/inference_task.h"
#include "server/telemetry/metrics.h"
#include "server/util/mutex.h"
#include "server/util/periodic_task.h"

namespace proad::server {

// At most BatchOptions::max_batch tasks of one model version, in the order of FairOrder.
struct Batch {
  std::vector<InferenceTask> tasks;  // never empty
  BatchCause cause = BatchCause::kFull;
  absl::Time cut;
};

// Thread-safety: all methods may be called from any thread. A thread of the batcher answers tasks
// whose deadline passes or that are cancelled while every worker is busy.
class DynamicBatcher {
 public:
  struct Options {
    BatchOptions batch;
    size_t max_waiting = 1024;  // tasks; each holds a prepared image, about 0.5 MB at 392 x 392
  };

  DynamicBatcher(const Options& options, Metrics& metrics);
  // Answers waiting tasks as Abort does. No thread may be in Next.
  ~DynamicBatcher();
  DynamicBatcher(const DynamicBatcher&) = delete;
  DynamicBatcher& operator=(const DynamicBatcher&) = delete;

  // Takes the task and calls its `done` later. Never blocks. On error the task stays with the
  // caller, `done` uncalled: RESOURCE_EXHAUSTED (QUEUE_FULL) when max_waiting tasks wait,
  // UNAVAILABLE (DRAINING, or the status of Abort) after Close.
  absl::Status Enqueue(InferenceTask&& task);

  // Expect announces an admitted image that is not queued yet; Arrived ends the announcement,
  // whether the image was queued or not. Used by adaptive_delay.
  void Expect();
  void Arrived();

  // For workers: blocks until a batch is due. nullopt when the batcher is closed and empty. Expired
  // and cancelled tasks are answered DEADLINE_EXCEEDED or CANCELLED and are in no batch.
  std::optional<Batch> Next();

  // Records how long a worker took for a batch.
  void RecordBatchTime(absl::Duration took);

  // Starts a search for cancelled tasks on the sweeper's thread. Returns at once.
  void AnswerCancelled();

  // Refuses new tasks. The waiting ones are handed out without delay; then Next returns nullopt.
  void Close();

  // Closes, and answers waiting and later tasks: Abort with UNAVAILABLE (DRAINING),
  // AbortWithoutWorkers with `why`, counted as rejected for want of a worker. The status of the
  // first call stays.
  void Abort();
  void AbortWithoutWorkers(const absl::Status& why);

  size_t waiting() const;
  // Age of the task that has waited longest; 0 when none waits.
  absl::Duration oldest() const;

 private:
  using Queue = std::vector<InferenceTask>;  // of one model version, never empty

  void Close(const absl::Status& refusal, prometheus::Counter& refused);
  void Abort(const absl::Status& why, prometheus::Counter& refused);
  void Sweep();
  // Removes the expired and cancelled tasks.
  std::vector<InferenceTask> TakeUnwanted(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // All tasks of the queue in the order in which they are served.
  std::vector<FairOrder::Position> Order(const Queue& queue, absl::Time now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A batch if one is due; otherwise sets `wake` to the time of the next attempt.
  std::optional<Batch> Cut(absl::Time now, absl::Time& wake) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Batch Take(const BatchDecision& decision, absl::Span<const FairOrder::Position> positions,
             absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Time EarliestDeadline() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AnswerUnwanted(std::vector<InferenceTask> tasks);
  void CountDispatch(const Batch& batch);

  const Options options_;
  const bool adapts_;  // adaptive_delay is in use: images on their way are counted
  Metrics& metrics_;

  mutable Mutex mutex_;
  CondVar work_;  // something to do for Next
  std::vector<Queue> queues_ ABSL_GUARDED_BY(mutex_);
  FairOrder order_ ABSL_GUARDED_BY(mutex_);
  absl::Duration batch_time_ ABSL_GUARDED_BY(mutex_);  // smoothed; zero: not known yet
  size_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t expected_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);                    // once closed
  prometheus::Counter* refused_ ABSL_GUARDED_BY(mutex_) = nullptr;  // once closed

  PeriodicTask sweeper_;  // answers expired and cancelled tasks while every worker is busy
};

}  // namespace proad::server
