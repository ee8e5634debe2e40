// The workers of a device, and the watch over them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/batching/dynamic_batcher.h"
#include "server/batching/worker.h"
#include "server/telemetry/metrics.h"
#include "server/util/mutex.h"

namespace proad::server {

// A worker whose batch takes longer than hang_timeout is given up: the batch is answered
// UNAVAILABLE (WORKER_HUNG), and a new worker stands in its place. One whose device is lost, and
// the third in a place that hangs without ever having finished a batch, is not replaced. When none
// is left, nothing is taken any more: what waits and what comes is answered UNAVAILABLE
// (NO_WORKER).
//
// Thread-safety: all methods may be called from any thread.
class WorkerPool {
 public:
  struct Options {
    int workers = 1;                                  // batches run at once on the device
    absl::Duration hang_timeout = absl::Seconds(30);  // longer than any batch takes
  };

  // Starts the workers. `on_change` is called when serving() has changed, from a thread of its own.
  WorkerPool(
      const Options& options, std::string device, DynamicBatcher& batcher, Metrics& metrics,
      std::function<void()> on_change = [] {});
  ~WorkerPool() { Stop(); }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Waits for the workers, but not for those that were given up: close the batcher first.
  // Idempotent.
  void Stop();

  // Workers that take batches.
  int serving() const;

  // Answers every batch that is still on a worker UNAVAILABLE (DRAINING), and waits for none of
  // these workers any more.
  void GiveUp();

  // Whether a thread was given up, which may be anywhere in LibTorch: the process should then end
  // without tearing down what such a thread may use.
  bool gave_up() const;

 private:
  // Where one worker stands after the other.
  struct Place {
    std::shared_ptr<Worker> worker;  // null: not replaced
    int hung = 0;                    // workers, one after the other, that never finished a batch
  };

  void Watch();
  // Of every place, as they stand now.
  std::vector<std::shared_ptr<Worker>> Workers() const;
  // Both true when serving() has changed. Only the watch calls them.
  bool GiveUpIfHung(size_t place, const std::shared_ptr<Worker>& worker);
  bool LetGoIfLost(size_t place, const std::shared_ptr<Worker>& worker);
  std::shared_ptr<Worker> Employ(size_t place);
  void CountServing() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  const std::string device_;
  DynamicBatcher& batcher_;
  Metrics& metrics_;
  const std::function<void()> on_change_;

  mutable Mutex mutex_;
  CondVar wake_;
  std::vector<Place> places_ ABSL_GUARDED_BY(mutex_);
  int serving_ ABSL_GUARDED_BY(mutex_) = 0;
  bool lost_ ABSL_GUARDED_BY(mutex_) = false;  // a worker has just said so
  bool gave_up_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread watch_;
};

}  // namespace proad::server
