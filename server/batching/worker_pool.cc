#include "server/batching/worker_pool.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/telemetry/log.h"
#include "server/util/reasons.h"
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
      on_change_(std::move(on_change)),
      slots_(static_cast<size_t>(options.workers)),
      // A hung batch is abandoned at most a quarter of hang_timeout late.
      supervision_({.name = "worker-watch",
                    .interval = std::min(options.hang_timeout / 4, absl::Seconds(1))},
                   [this] { CheckWorkers(); }) {
  for (size_t slot = 0; slot < static_cast<size_t>(options_.workers); ++slot) {
    Assign(slot, StartWorker(slot));
  }
  supervision_.Start();
}

void WorkerPool::Stop() {
  supervision_.Stop();
  std::vector<Slot> slots;
  {
    MutexLock lock(mutex_);
    slots.swap(slots_);
  }
}

std::vector<std::shared_ptr<Worker>> WorkerPool::Workers() const {
  std::vector<std::shared_ptr<Worker>> workers;
  MutexLock lock(mutex_);
  for (const Slot& slot : slots_) workers.push_back(slot.worker);
  return workers;
}

int WorkerPool::serving() const {
  MutexLock lock(mutex_);
  return serving_;
}

bool WorkerPool::has_abandoned_workers() const {
  MutexLock lock(mutex_);
  return abandoned_;
}

void WorkerPool::AbandonBusyWorkers() {
  for (const std::shared_ptr<Worker>& worker : Workers()) {
    if (worker == nullptr) continue;
    const bool abandoned = worker->Abandon(Unavailable(
        "the server is shutting down and the batch took too long; the image was not inspected",
        reason::kDraining));
    MutexLock lock(mutex_);
    abandoned_ |= abandoned;
  }
}

std::shared_ptr<Worker> WorkerPool::StartWorker(size_t slot) {
  return std::make_shared<Worker>(static_cast<int>(slot), device_, batcher_, metrics_,
                                  [this] { supervision_.Wake(); });
}

void WorkerPool::Assign(size_t slot, std::shared_ptr<Worker> worker) {
  MutexLock lock(mutex_);
  slots_[slot].worker.swap(worker);
  serving_ = static_cast<int>(std::count_if(
      slots_.begin(), slots_.end(), [](const Slot& each) { return each.worker != nullptr; }));
  metrics_.workers.serving.Set(serving_);
  metrics_.workers.quarantined.Set(options_.workers - serving_);
}

void WorkerPool::CheckWorkers() {
  bool changed = false;
  const std::vector<std::shared_ptr<Worker>> workers = Workers();
  for (size_t slot = 0; slot < workers.size(); ++slot) {
    if (workers[slot] == nullptr) continue;
    changed |= RemoveIfDeviceLost(slot, *workers[slot]) || ReplaceIfHung(slot, *workers[slot]);
  }
  if (!changed) return;
  if (serving() == 0) {
    batcher_.AbortWithoutWorkers(
        Unavailable("no worker is left; the image was not inspected", reason::kNoWorker));
  }
  on_change_();
}

bool WorkerPool::RemoveIfDeviceLost(size_t slot, const Worker& worker) {
  if (!worker.device_lost()) return false;
  Log(LogLevel::kError, "worker quarantined", {{"worker", slot}, {"reason", "device lost"}});
  Assign(slot, nullptr);
  return true;
}

bool WorkerPool::ReplaceIfHung(size_t slot, Worker& worker) {
  const absl::Time since = worker.busy_since();
  if (since == absl::InfiniteFuture() || absl::Now() - since < options_.hang_timeout) return false;
  const bool abandoned = worker.Abandon(Unavailable(
      absl::StrCat("the model did not answer within ", absl::FormatDuration(options_.hang_timeout),
                   "; the image was not inspected"),
      reason::kWorkerHung));
  if (!abandoned) return false;
  bool replaced = false;
  {
    MutexLock lock(mutex_);
    abandoned_ = true;
    int& hung = slots_[slot].hung;
    hung = worker.finished_a_batch() ? 1 : hung + 1;
    replaced = hung < kMaxHung;
  }
  Log(LogLevel::kError, replaced ? "worker replaced" : "worker quarantined",
      {{"worker", slot}, {"reason", "hung"}, {"timeout", options_.hang_timeout}});
  Assign(slot, replaced ? StartWorker(slot) : nullptr);
  if (replaced) metrics_.workers_replaced.Increment();
  return !replaced;
}

}  // namespace proad::server
