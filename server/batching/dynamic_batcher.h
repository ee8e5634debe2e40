// Where prepared images wait for a worker and become batches, each of one model version.
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

// Tasks of one model version, at most BatchOptions::max_batch, in the order of their turns.
struct Batch {
  std::vector<InferenceTask> tasks;  // never empty
  BatchCause cause = BatchCause::kFull;
  absl::Time cut;
};

// Thread-safety: all methods may be called from any thread. A thread of its own answers tasks whose
// deadline passes or that are cancelled while every worker is busy.
class DynamicBatcher {
 public:
  struct Options {
    BatchOptions batch;
    size_t max_waiting = 1024;  // tasks; each holds a prepared image, about 0.5 MB at 392 x 392
  };

  DynamicBatcher(const Options& options, Metrics& metrics);
  // What still waits is answered as by Abort. No thread may be in Next.
  ~DynamicBatcher();
  DynamicBatcher(const DynamicBatcher&) = delete;
  DynamicBatcher& operator=(const DynamicBatcher&) = delete;

  // Takes the task, and sees to it that its done is called. Never blocks. On error the task is left
  // as it is, with done uncalled: RESOURCE_EXHAUSTED (QUEUE_FULL) when max_waiting wait,
  // UNAVAILABLE (DRAINING, or as Abort says) after Close.
  absl::Status Enqueue(InferenceTask&& task);

  // An image is on its way here; Arrived says that it has come, or will not. For the adaptive
  // delay.
  void Expect();
  void Arrived();

  // For workers: blocks until a batch is due. nullopt once closed and empty. Tasks that expired or
  // were cancelled are answered DEADLINE_EXCEEDED or CANCELLED and never handed out.
  std::optional<Batch> Next();

  // Records how long a worker took for a batch.
  void RecordBatchTime(absl::Duration took);

  // Starts a search for cancelled tasks on the sweeper's thread. Returns at once.
  void AnswerCancelled();

  // Takes no more tasks. What waits is handed out without delay; then every Next returns nullopt.
  void Close();

  // Close, and answers the tasks that wait and the tasks that still come: Abort with UNAVAILABLE
  // (DRAINING), AbortWithoutWorkers with `why`, counted as rejected for want of a worker. After the
  // first call that closes, the answer to new tasks stays the same.
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
  // Moves out what expired or was cancelled.
  std::vector<InferenceTask> TakeUnwanted(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What of the queue goes, in this order: all of it.
  std::vector<FairOrder::Place> Order(const Queue& queue, absl::Time now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A batch, if one is due; otherwise when to look again.
  std::optional<Batch> Cut(absl::Time now, absl::Time& wake) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Batch Take(const BatchDecision& decision, absl::Span<const FairOrder::Place> places,
             absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Time EarliestDeadline() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AnswerUnwanted(std::vector<InferenceTask> tasks);
  void CountDispatch(const Batch& batch);

  const Options options_;
  const bool adapts_;  // so that it matters who is on his way
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
