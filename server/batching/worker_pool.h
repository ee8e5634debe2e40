// The workers of one device, and the supervision that replaces them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/batching/dynamic_batcher.h"
#include "server/batching/worker.h"
#include "server/telemetry/metrics.h"
#include "server/util/mutex.h"
#include "server/util/periodic_task.h"

namespace proad::server {

// Holds Options::workers slots with one worker each.
//
// A worker whose batch takes longer than hang_timeout is abandoned: the tasks of the batch are
// answered UNAVAILABLE (WORKER_HUNG), and a new worker takes the slot. A slot stays empty when the
// device of its worker is lost, or when three workers in a row hung without ever having finished a
// batch. When every slot is empty, the batcher is aborted: waiting and later tasks are answered
// UNAVAILABLE (NO_WORKER).
//
// Thread-safety: all methods may be called from any thread, except Stop: one thread at a time.
class WorkerPool {
 public:
  struct Options {
    int workers = 1;                                  // batches that run at once on the device
    absl::Duration hang_timeout = absl::Seconds(30);  // longer than any batch takes
  };

  // Starts the workers. `batcher` and `metrics` must outlive the pool. The supervision thread calls
  // `on_change` after serving() has changed.
  WorkerPool(
      const Options& options, std::string device, DynamicBatcher& batcher, Metrics& metrics,
      std::function<void()> on_change = [] {});
  ~WorkerPool() { Stop(); }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Waits for the workers, except the abandoned ones. Close the batcher first, or the workers do not
  // end. Idempotent.
  void Stop();

  // Workers that take batches.
  int serving() const;

  // Abandons every worker that has a batch: answers the tasks of the batch UNAVAILABLE (DRAINING).
  void AbandonBusyWorkers();

  // Whether the thread of an abandoned worker may still run inside the model. The process must then
  // end without destroying what that thread may use.
  bool has_abandoned_workers() const;

 private:
  struct Slot {
    std::shared_ptr<Worker> worker;  // null: empty for good
    int hung = 0;                    // workers in a row that hung and never finished a batch
  };

  // Called at an interval, and as soon as a worker loses its device.
  void CheckWorkers();
  // The worker of each slot.
  std::vector<std::shared_ptr<Worker>> Workers() const;
  // Both return whether serving() has changed. Called by the supervision thread only.
  bool RemoveIfDeviceLost(size_t slot, const Worker& worker);
  bool ReplaceIfHung(size_t slot, Worker& worker);
  std::shared_ptr<Worker> StartWorker(size_t slot);
  // Puts `worker` into a slot and updates the count of workers. The lock is not held while a worker
  // starts, logs or ends.
  void Assign(size_t slot, std::shared_ptr<Worker> worker);

  const Options options_;
  const std::string device_;
  DynamicBatcher& batcher_;
  Metrics& metrics_;
  const std::function<void()> on_change_;

  mutable Mutex mutex_;
  std::vector<Slot> slots_ ABSL_GUARDED_BY(mutex_);
  int serving_ ABSL_GUARDED_BY(mutex_) = 0;
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;

  PeriodicTask supervision_;
};

}  // namespace proad::server
