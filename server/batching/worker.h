// One thread that takes batches and runs them on the model.
#pragma once

#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "server/batching/dynamic_batcher.h"
#include "server/batching/inference_task.h"
#include "server/telemetry/metrics.h"

namespace proad::server {

// Every task of a batch is answered exactly once, whatever the model does: an error or an exception
// fails the tasks of this batch with INTERNAL (or the model's own status) and the worker goes on
// with the next; a score or map that is not finite fails its own task with INTERNAL. A batch that
// does not fit into device memory is halved once and tried again.
class Worker {
 public:
  // `index` is what ServableModel::Infer gets; `device` names it in the metrics. Starts the thread.
  Worker(int index, const std::string& device, DynamicBatcher& batcher, Metrics& metrics);
  // Waits for the thread, which ends when the batcher is closed and empty: close it first.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

 private:
  void Run();
  void RunBatch(Batch batch);

  const int index_;
  DynamicBatcher& batcher_;
  prometheus::Counter& busy_seconds_;
  std::thread thread_;
};

}  // namespace proad::server
