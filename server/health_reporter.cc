#include "server/health_reporter.h"

#include <utility>

namespace proad::server {

HealthReporter::HealthReporter(std::function<bool()> is_ready, std::function<void(bool)> publish,
                               std::function<void()> on_ready)
    : is_ready_(std::move(is_ready)),
      publish_(std::move(publish)),
      notification_({.name = "ready"}, std::move(on_ready)) {}

void HealthReporter::Update() {
  MutexLock lock(mutex_);
  const bool ready = is_ready_();
  publish_(ready);
  if (!ready || was_ready_) return;
  was_ready_ = true;
  notification_.Wake();
}

}  // namespace proad::server
