// The callbacks that are called when a job changes.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/util/mutex.h"

namespace proad::server {

// Thread-safety: all methods may be called from any thread; Notify from one at a time.
class JobWatchers {
 public:
  class Watcher;

  // Keeps a callback registered until it is destroyed. No call is in progress when its destructor
  // returns. It may outlive the JobWatchers; the callback is then not called any more.
  class Subscription {
   public:
    explicit Subscription(std::shared_ptr<Watcher> watcher);
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

   private:
    const std::shared_ptr<Watcher> watcher_;
  };

  explicit JobWatchers(int max_watchers) : max_watchers_(max_watchers) {}

  // Registers a callback for the job `id`. Notify calls it without a lock. It must not block and
  // must not destroy the subscription. RESOURCE_EXHAUSTED (TOO_MANY_WATCHERS).
  absl::StatusOr<std::unique_ptr<Subscription>> Add(std::string id, std::function<void()> changed);

  // Calls the callbacks of the jobs `ids`.
  void Notify(const std::set<std::string>& ids);

 private:
  const int max_watchers_;
  Mutex mutex_;
  std::vector<std::weak_ptr<Watcher>> watchers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace proad::server
