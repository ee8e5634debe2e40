// Waiting for other threads in tests, without sleeping and visible to ThreadSanitizer.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "server/util/mutex.h"

namespace proad::server {

// Happens once.
class Event {
 public:
  void Set() {
    MutexLock lock(mutex_);
    set_ = true;
    changed_.NotifyAll();
  }
  void Wait() {
    MutexLock lock(mutex_);
    while (!set_) changed_.Wait(mutex_);
  }
  bool IsSet() {
    MutexLock lock(mutex_);
    return set_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool set_ ABSL_GUARDED_BY(mutex_) = false;
};

// Values that other threads hand over, in the order in which they came.
template <typename Value>
class Collected {
 public:
  void Add(Value value) {
    MutexLock lock(mutex_);
    values_.push_back(std::move(value));
    changed_.NotifyAll();
  }
  // Waits until there are at least `count`, and returns a copy of all.
  std::vector<Value> Await(size_t count) {
    MutexLock lock(mutex_);
    while (values_.size() < count) changed_.Wait(mutex_);
    return values_;
  }
  size_t size() {
    MutexLock lock(mutex_);
    return values_.size();
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<Value> values_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace proad::server
