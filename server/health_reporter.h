// Publishes whether the server is ready, and reports once when it first is.
#pragma once

#include <functional>

#include "absl/base/thread_annotations.h"
#include "server/util/mutex.h"
#include "server/util/periodic_task.h"

namespace proad::server {

// Thread-safety: Update may be called from any thread; Start and Stop from one thread.
class HealthReporter {
 public:
  // `is_ready` evaluates the state of the server now; `publish` hands the result to health checks.
  // Both are called under the lock, so that the last published value is that of the last
  // evaluation: they must not call Update, and no caller of Update may hold a lock that they take.
  // `on_ready` is called once, from a thread of its own, when the server was ready and Start was
  // called.
  HealthReporter(std::function<bool()> is_ready, std::function<void(bool)> publish,
                 std::function<void()> on_ready);
  ~HealthReporter() { Stop(); }
  HealthReporter(const HealthReporter&) = delete;
  HealthReporter& operator=(const HealthReporter&) = delete;

  // Evaluates and publishes. Call it after every change of what `is_ready` evaluates.
  void Update();

  // From now on `on_ready` may be called.
  void Start() { notification_.Start(); }

  // Waits for `on_ready` if it is in progress; it is not called later. Idempotent.
  void Stop() { notification_.Stop(); }

 private:
  const std::function<bool()> is_ready_;
  const std::function<void(bool)> publish_;

  Mutex mutex_;
  bool was_ready_ ABSL_GUARDED_BY(mutex_) = false;

  PeriodicTask notification_;  // calls on_ready
};

}  // namespace proad::server
