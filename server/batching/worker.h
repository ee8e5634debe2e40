// A thread that takes batches from the batcher and runs them on the model.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/batching/dynamic_batcher.h"
#include "server/telemetry/metrics.h"

namespace proad::server {

// Answers every task of a batch exactly once. An error or an exception of the model fails the tasks
// of this batch with the model's status or INTERNAL, and the worker takes the next batch. A score or
// map that is not finite fails its own task with INTERNAL. A batch that does not fit into device
// memory is divided in two halves and each half is tried once. The worker ends when its device is
// lost.
//
// Thread-safety: all methods may be called from any thread.
class Worker {
 public:
  // Starts the thread. `index` is passed to ServableModel::Infer; `device` is a metric label. The
  // thread calls `on_lost` just before it ends because the device is lost. `batcher` and `metrics`
  // must outlive the worker, unless it is abandoned.
  Worker(
      int index, const std::string& device, DynamicBatcher& batcher, Metrics& metrics,
      std::function<void()> on_lost = [] {});
  // Waits for the thread, which ends when the batcher is closed and empty: close it first. Does not
  // wait for the thread of an abandoned worker.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // When its current batch began; InfiniteFuture while it has none.
  absl::Time busy_since() const;

  // Whether it has ever finished a batch.
  bool finished_a_batch() const;

  // Whether its device is lost. The thread has ended or is about to.
  bool device_lost() const;

  // Answers the tasks of its current batch with `why` and detaches the thread, which ends when the
  // model returns and uses nothing that the constructor was given. False when there is no batch.
  bool Abandon(const absl::Status& why);

 private:
  // Shared by the thread and the worker, since the thread of an abandoned worker outlives it.
  class State;

  static void Run(const std::shared_ptr<State>& state, DynamicBatcher& batcher,
                  prometheus::Counter& busy_seconds, const std::function<void()>& on_lost);

  const std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace proad::server
