#include "server/serving/model_follower.h"

#include <pthread.h>

#include <utility>

#include "absl/time/clock.h"

namespace proad::server {

ModelFollower::ModelFollower(ModelRegistry& registry, absl::Duration interval,
                             std::function<void()> on_change)
    : registry_(registry), interval_(interval), on_change_(std::move(on_change)) {}

void ModelFollower::Start() {
  if (interval_ == absl::ZeroDuration()) return;
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "model-follower");
}

void ModelFollower::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  wake_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void ModelFollower::Run() {
  while (true) {
    {
      const absl::Time next = absl::Now() + interval_;
      MutexLock lock(mutex_);
      while (!stopped_ && wake_.WaitUntil(mutex_, next)) {
      }
      if (stopped_) return;
    }
    if (registry_.Follow(absl::Now())) on_change_();
  }
}

}  // namespace proad::server
