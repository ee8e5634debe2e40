#include "server/serving/model_follower.h"

#include <utility>

#include "absl/time/clock.h"

namespace proad::server {

ModelFollower::ModelFollower(ModelRegistry& registry, absl::Duration interval,
                             std::function<void()> on_change)
    : interval_(interval),
      task_({.name = "model-follower", .interval = interval},
            [&registry, on_change = std::move(on_change)] {
              if (registry.Follow(absl::Now())) on_change();
            }) {}

void ModelFollower::Start() {
  if (interval_ > absl::ZeroDuration()) task_.Start();
}

void ModelFollower::Stop() { task_.Stop(); }

}  // namespace proad::server
