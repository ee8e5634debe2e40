#include "server/jobs/job_watchers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {

class JobWatchers::Watcher {
 public:
  Watcher(std::string id, std::function<void()> changed)
      : id_(std::move(id)), changed_(std::move(changed)) {}

  const std::string& id() const { return id_; }

  void Call() {
    {
      MutexLock lock(mutex_);
      if (ended_) return;
      calling_ = true;
    }
    changed_();
    MutexLock lock(mutex_);
    calling_ = false;
    idle_.NotifyAll();
  }

  // No call is in progress or follows when this has returned.
  void End() {
    MutexLock lock(mutex_);
    ended_ = true;
    while (calling_) idle_.Wait(mutex_);
  }

 private:
  const std::string id_;
  const std::function<void()> changed_;

  Mutex mutex_;
  CondVar idle_;
  bool calling_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

JobWatchers::Subscription::Subscription(std::shared_ptr<Watcher> watcher)
    : watcher_(std::move(watcher)) {}

JobWatchers::Subscription::~Subscription() { watcher_->End(); }

absl::StatusOr<std::unique_ptr<JobWatchers::Subscription>> JobWatchers::Add(
    std::string id, std::function<void()> changed) {
  auto watcher = std::make_shared<Watcher>(std::move(id), std::move(changed));
  MutexLock lock(mutex_);
  std::erase_if(watchers_, [](const std::weak_ptr<Watcher>& w) { return w.expired(); });
  if (watchers_.size() >= static_cast<size_t>(max_watchers_)) {
    return MakeError(absl::StatusCode::kResourceExhausted,
                     absl::StrCat("all ", max_watchers_,
                                  " job watches are in use; call GetTrainJob instead, or try again "
                                  "later"),
                     {.reason = reason::kTooManyWatchers,
                      .retry_after = absl::Seconds(5),
                      .metadata = {{"max_watchers", absl::StrCat(max_watchers_)}}});
  }
  watchers_.push_back(watcher);
  return std::make_unique<Subscription>(std::move(watcher));
}

void JobWatchers::Notify(const std::set<std::string>& ids) {
  std::vector<std::shared_ptr<Watcher>> called;
  {
    MutexLock lock(mutex_);
    for (const std::weak_ptr<Watcher>& weak : watchers_) {
      std::shared_ptr<Watcher> watcher = weak.lock();
      if (watcher != nullptr && ids.contains(watcher->id())) called.push_back(std::move(watcher));
    }
  }
  for (const auto& watcher : called) watcher->Call();
}

}  // namespace proad::server
