#include "server/batching/worker_pool.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/telemetry/log.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr int kMaxHung = 3;

absl::Status Unavailable(absl::string_view message, const char* reason) {
  return MakeError(absl::StatusCode::kUnavailable, message,
                   {.reason = reason, .retry_after = absl::ZeroDuration()});
}

}  // namespace

WorkerPool::WorkerPool(const Options& options, std::string device, DynamicBatcher& batcher,
                       Metrics& metrics, std::function<void()> on_change)
    : options_(options),
      device_(std::move(device)),
      batcher_(batcher),
      metrics_(metrics),
      on_change_(std::move(on_change)) {
  {
    MutexLock lock(mutex_);
    for (int i = 0; i < options_.workers; ++i) places_.push_back({Employ(places_.size())});
    CountServing();
  }
  watch_ = std::thread([this] { Watch(); });
  pthread_setname_np(watch_.native_handle(), "worker-watch");
}

void WorkerPool::Stop() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
  }
  wake_.NotifyAll();
  if (watch_.joinable()) watch_.join();
  std::vector<Place> places;
  {
    MutexLock lock(mutex_);
    places.swap(places_);
  }
}

std::vector<std::shared_ptr<Worker>> WorkerPool::Workers() const {
  std::vector<std::shared_ptr<Worker>> workers;
  MutexLock lock(mutex_);
  for (const Place& place : places_) workers.push_back(place.worker);
  return workers;
}

int WorkerPool::serving() const {
  MutexLock lock(mutex_);
  return serving_;
}

bool WorkerPool::gave_up() const {
  MutexLock lock(mutex_);
  return gave_up_;
}

void WorkerPool::GiveUp() {
  for (const std::shared_ptr<Worker>& worker : Workers()) {
    if (worker == nullptr) continue;
    const bool gave_up = worker->GiveUp(Unavailable(
        "the server is shutting down, and the batch took too long; it was not inspected",
        "DRAINING"));
    MutexLock lock(mutex_);
    gave_up_ |= gave_up;
  }
}

std::shared_ptr<Worker> WorkerPool::Employ(size_t place) {
  return std::make_shared<Worker>(static_cast<int>(place), device_, batcher_, metrics_, [this] {
    {
      MutexLock lock(mutex_);
      lost_ = true;
    }
    wake_.NotifyAll();
  });
}

void WorkerPool::CountServing() {
  serving_ = static_cast<int>(std::count_if(
      places_.begin(), places_.end(), [](const Place& place) { return place.worker != nullptr; }));
  metrics_.workers.serving.Set(serving_);
  metrics_.workers.quarantined.Set(options_.workers - serving_);
}

void WorkerPool::Watch() {
  // Often enough that a batch is given up at most a quarter late.
  const absl::Duration pause = std::min(options_.hang_timeout / 4, absl::Seconds(1));
  while (true) {
    {
      MutexLock lock(mutex_);
      if (!lost_ && !stop_) wake_.WaitUntil(mutex_, absl::Now() + pause);
      if (stop_) return;
      lost_ = false;
    }
    bool changed = false;
    const std::vector<std::shared_ptr<Worker>> workers = Workers();
    for (size_t i = 0; i < workers.size(); ++i) {
      if (workers[i] == nullptr) continue;
      changed |= LetGoIfLost(i, workers[i]) || GiveUpIfHung(i, workers[i]);
    }
    if (!changed) continue;
    if (serving() == 0) {
      batcher_.Abort(Unavailable("no worker is left; the image was not inspected", "NO_WORKER"));
    }
    on_change_();
  }
}

bool WorkerPool::LetGoIfLost(size_t place, const std::shared_ptr<Worker>& worker) {
  if (!worker->lost()) return false;
  Log(LogLevel::kError, "worker quarantined", {{"worker", place}, {"reason", "device lost"}});
  MutexLock lock(mutex_);
  places_[place].worker = nullptr;
  CountServing();
  return true;
}

bool WorkerPool::GiveUpIfHung(size_t place, const std::shared_ptr<Worker>& worker) {
  const absl::Time since = worker->busy_since();
  if (since == absl::InfiniteFuture() || absl::Now() - since < options_.hang_timeout) return false;
  const bool hung = worker->GiveUp(Unavailable(
      absl::StrCat("the model did not answer within ", absl::FormatDuration(options_.hang_timeout),
                   "; the image was not inspected"),
      "WORKER_HUNG"));
  if (!hung) return false;
  MutexLock lock(mutex_);
  Place& here = places_[place];
  gave_up_ = true;
  here.hung = worker->proven() ? 1 : here.hung + 1;
  const bool replaced = here.hung < kMaxHung;
  Log(LogLevel::kError, replaced ? "worker replaced" : "worker quarantined",
      {{"worker", place}, {"reason", "hung"}, {"timeout", options_.hang_timeout}});
  here.worker = replaced ? Employ(place) : nullptr;
  if (replaced) metrics_.workers_replaced.Increment();
  CountServing();
  return !replaced;
}

}  // namespace proad::server
