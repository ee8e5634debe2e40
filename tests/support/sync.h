// Waiting for other threads in tests, without sleeping and visible to ThreadSanitizer.
//
// No wait hangs: one that lasts longer than kWaitLimit prints the file and line of the waiting test
// and what it waited for, and aborts the process. Thread-safety: all members may be called from any
// thread.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/util/mutex.h"

namespace proad::server {

// Far above what any wait takes, under sanitizers and on a busy machine too, and below the time
// limit of a test (300 s).
constexpr absl::Duration kWaitLimit = absl::Seconds(100);

// Ends the process: a test whose event did not come cannot go on, since its threads hold on to its
// locals.
[[noreturn]] inline void AbortWait(const char* file, int line, const std::string& what) {
  std::fprintf(stderr, "%s:%d: waited %s for %s\n", file, line,
               absl::FormatDuration(kWaitLimit).c_str(), what.c_str());
  std::abort();
}

// Returns once `condition()` is true, for a state that no thread announces; aborts after
// kWaitLimit. `what` says what is waited for.
template <typename Condition>
void AwaitTrue(const char* what, const Condition& condition, const char* file = __builtin_FILE(),
               int line = __builtin_LINE()) {
  const absl::Time deadline = absl::Now() + kWaitLimit;
  while (!condition()) {
    if (absl::Now() > deadline) AbortWait(file, line, what);
    std::this_thread::yield();
  }
}

// Happens once. `name` says what happens, for the message of a wait that takes too long.
class Event {
 public:
  explicit Event(const char* name = "the event of this line") : name_(name) {}

  void Set() {
    MutexLock lock(mutex_);
    set_ = true;
    changed_.NotifyAll();
  }
  // Returns once the event has happened; aborts after kWaitLimit.
  void Wait(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    const absl::Time deadline = absl::Now() + kWaitLimit;
    MutexLock lock(mutex_);
    while (!set_) {
      if (!changed_.WaitUntil(mutex_, deadline) && !set_) AbortWait(file, line, name_);
    }
  }
  // For a thread that must not go on before the test says so, however long the test is.
  void WaitWithoutLimit() {
    MutexLock lock(mutex_);
    while (!set_) changed_.Wait(mutex_);
  }
  bool IsSet() {
    MutexLock lock(mutex_);
    return set_;
  }

 private:
  const char* const name_;
  Mutex mutex_;
  CondVar changed_;
  bool set_ ABSL_GUARDED_BY(mutex_) = false;
};

// Values that other threads add, in the order in which they came. `name` says what they are, for
// the message of a wait that takes too long.
template <typename Value>
class Collected {
 public:
  explicit Collected(const char* name = "values") : name_(name) {}

  void Add(Value value) {
    MutexLock lock(mutex_);
    values_.push_back(std::move(value));
    changed_.NotifyAll();
  }
  // Returns a copy of all values once there are at least `count`; aborts after kWaitLimit.
  std::vector<Value> Await(size_t count, const char* file = __builtin_FILE(),
                           int line = __builtin_LINE()) {
    const absl::Time deadline = absl::Now() + kWaitLimit;
    MutexLock lock(mutex_);
    while (values_.size() < count) {
      if (!changed_.WaitUntil(mutex_, deadline) && values_.size() < count) {
        AbortWait(file, line,
                  std::to_string(count) + " " + name_ + ", of which " +
                      std::to_string(values_.size()) + " came");
      }
    }
    return values_;
  }
  size_t size() {
    MutexLock lock(mutex_);
    return values_.size();
  }

 private:
  const char* const name_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<Value> values_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace proad::server
