#include "server/util/periodic_task.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace proad::server {

PeriodicTask::PeriodicTask(Options options, std::function<void()> function)
    : options_(std::move(options)), function_(std::move(function)) {}

void PeriodicTask::Start() {
  WakeAt(options_.run_at_start ? absl::InfinitePast() : absl::Now() + options_.interval);
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), options_.name.c_str());
}

void PeriodicTask::Wake() { WakeAt(absl::InfinitePast()); }

void PeriodicTask::WakeAt(absl::Time time) {
  {
    MutexLock lock(mutex_);
    if (time >= next_) return;
    next_ = time;
  }
  changed_.Notify();
}

void PeriodicTask::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  changed_.Notify();
  if (thread_.joinable()) thread_.join();
}

void PeriodicTask::Run() {
  while (true) {
    {
      MutexLock lock(mutex_);
      while (!stopped_ && absl::Now() < next_) changed_.WaitUntil(mutex_, next_);
      if (stopped_) return;
      next_ = absl::InfiniteFuture();
    }
    function_();
    WakeAt(absl::Now() + options_.interval);
  }
}

}  // namespace proad::server
