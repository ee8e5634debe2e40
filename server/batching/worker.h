// One thread that takes batches and runs them on the model.
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

// Every task of a batch is answered exactly once, whatever the model does: an error or an exception
// fails the tasks of this batch with INTERNAL (or the model's own status) and the worker goes on
// with the next; a score or map that is not finite fails its own task with INTERNAL. A batch that
// does not fit into device memory is halved once and tried again. When the device is lost, the
// worker ends.
//
// Thread-safety: all methods may be called from any thread.
class Worker {
 public:
  // `index` is what ServableModel::Infer gets; `device` names it in the metrics. Starts the thread,
  // which calls `on_lost` as its last act when the device is lost.
  Worker(
      int index, const std::string& device, DynamicBatcher& batcher, Metrics& metrics,
      std::function<void()> on_lost = [] {});
  // Waits for the thread, which ends when the batcher is closed and empty: close it first. Does not
  // wait for one that was given up.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Since when it has had its batch; InfiniteFuture while it has none.
  absl::Time busy_since() const;

  // Whether it ever brought a batch to its end.
  bool proven() const;

  // Whether its device is lost: it has ended, or is about to.
  bool lost() const;

  // Answers its batch, if it has one, with `why`, and leaves the thread to itself: it ends when the
  // model returns, without touching anything that this worker was made with. False when it had
  // none.
  bool GiveUp(const absl::Status& why);

 private:
  // What the thread shares with whoever gives it up.
  class Hand;

  static void Run(const std::shared_ptr<Hand>& hand, DynamicBatcher& batcher,
                  prometheus::Counter& busy_seconds, const std::function<void()>& on_lost);

  const std::shared_ptr<Hand> hand_;
  std::thread thread_;
};

}  // namespace proad::server
