// Of model_registry.h, for its own files.
#pragma once

#include "server/serving/model_registry.h"
#include "server/util/mutex.h"

namespace proad::server {

class ModelRegistry::LoadTurn {
 public:
  explicit LoadTurn(ModelRegistry& registry) : registry_(registry) {
    MutexLock lock(registry_.mutex_);
    while (registry_.load_turn_taken_ && !registry_.stopped_) {
      registry_.load_turn_over_.Wait(registry_.mutex_);
    }
    taken_ = !registry_.stopped_;
    if (taken_) registry_.load_turn_taken_ = true;
  }
  ~LoadTurn() {
    if (!taken_) return;
    {
      MutexLock lock(registry_.mutex_);
      registry_.load_turn_taken_ = false;
    }
    registry_.load_turn_over_.NotifyAll();
  }
  LoadTurn(const LoadTurn&) = delete;
  LoadTurn& operator=(const LoadTurn&) = delete;

  // False once the registry is stopped: nothing may be loaded any more.
  bool taken() const { return taken_; }

 private:
  ModelRegistry& registry_;
  bool taken_ = false;
};

}  // namespace proad::server
