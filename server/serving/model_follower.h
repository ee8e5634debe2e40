// Lets a server do what others that share its model store decide.
#pragma once

#include <functional>

#include "absl/time/time.h"
#include "server/serving/model_registry.h"
#include "server/util/periodic_task.h"

namespace proad::server {

// Calls ModelRegistry::Follow at an interval, on its own thread. Thread-safety: Start and Stop are
// called from one thread.
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
  const absl::Duration interval_;
  PeriodicTask task_;
};

}  // namespace proad::server
