// Lets a server do what others that share its model store decide.
#pragma once

#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "server/serving/model_registry.h"
#include "server/util/mutex.h"

namespace proad::server {

// A thread that calls ModelRegistry::Follow again and again. Thread-safety: Start and Stop from one
// thread.
class ModelFollower {
 public:
  // `on_change` is called after a look that made another version serve, from the follower's thread.
  // The registry must outlive it.
  ModelFollower(ModelRegistry& registry, absl::Duration interval, std::function<void()> on_change);
  ~ModelFollower() { Stop(); }
  ModelFollower(const ModelFollower&) = delete;
  ModelFollower& operator=(const ModelFollower&) = delete;

  // Does nothing when the interval is zero.
  void Start();
  // Waits for the present look: stop the registry first. Idempotent.
  void Stop();

 private:
  void Run();

  ModelRegistry& registry_;
  const absl::Duration interval_;
  const std::function<void()> on_change_;

  Mutex mutex_;
  CondVar wake_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace proad::server
