// A named thread that calls a function at an interval, or earlier on request.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "server/util/mutex.h"

namespace proad::server {

// Calls do not overlap. The function must not throw, and must not call Stop.
//
// Thread-safety: Wake and WakeAt may be called from any thread at any time, also before Start, after
// Stop and from the function itself. Start and Stop are called from one thread.
class PeriodicTask {
 public:
  struct Options {
    std::string name;  // of the thread, at most 15 bytes
    // From the end of one call to the start of the next; infinite: only Wake and WakeAt start calls.
    absl::Duration interval = absl::InfiniteDuration();
    bool run_at_start = false;  // false: the first call comes one interval after Start
  };

  PeriodicTask(Options options, std::function<void()> function);
  ~PeriodicTask() { Stop(); }
  PeriodicTask(const PeriodicTask&) = delete;
  PeriodicTask& operator=(const PeriodicTask&) = delete;

  // Starts the thread. Call it at most once.
  void Start();

  // Starts a call now, or as soon as the call in progress has ended.
  void Wake();

  // Starts a call at `time` at the latest. The next call discards the request, whatever started it.
  void WakeAt(absl::Time time);

  // Waits for the call in progress, then ends the thread. Idempotent.
  void Stop();

 private:
  void Run();

  const Options options_;
  const std::function<void()> function_;

  Mutex mutex_;
  CondVar changed_;
  absl::Time next_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();  // start of the next call
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace proad::server
