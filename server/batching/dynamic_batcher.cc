#include "server/batching/dynamic_batcher.h"

#include <pthread.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

absl::Status DrainingError() {
  return MakeError(absl::StatusCode::kUnavailable,
                   "the server is shutting down; the image was not inspected",
                   {.reason = "DRAINING"});
}

}  // namespace

DynamicBatcher::DynamicBatcher(const Options& options, Metrics& metrics)
    : options_(options), metrics_(metrics), sweeper_([this] { RunSweeper(); }) {
  pthread_setname_np(sweeper_.native_handle(), "batch-sweeper");
}

DynamicBatcher::~DynamicBatcher() {
  Abort();
  {
    MutexLock lock(mutex_);
    stop_sweeper_ = true;
  }
  sweep_.NotifyAll();
  sweeper_.join();
}

absl::Status DynamicBatcher::Enqueue(InferenceTask&& task) {
  bool sweep = false;
  {
    MutexLock lock(mutex_);
    if (closed_) return DrainingError();
    if (waiting_ >= options_.max_waiting) {
      return MakeError(
          absl::StatusCode::kResourceExhausted,
          absl::StrCat(waiting_, " images wait for a device already, the limit; try again later"),
          {.reason = "QUEUE_FULL", .metadata = {{"limit", absl::StrCat(options_.max_waiting)}}});
    }
    task.enqueued = absl::Now();
    // A cancellation that came before the task would otherwise be noticed by nobody.
    if (IsUnwanted(task.deadline, task.cancelled, task.enqueued)) sweep_now_ = true;
    sweep = sweep_now_ || task.deadline < next_sweep_;
    const auto same_model = [&task](const Queue& queue) {
      return queue.front().model == task.model;
    };
    auto queue = std::find_if(queues_.begin(), queues_.end(), same_model);
    if (queue == queues_.end()) queue = queues_.emplace(queues_.end());
    queue->push_back(std::move(task));
    ++waiting_;
  }
  work_.Notify();
  if (sweep) sweep_.Notify();
  return absl::OkStatus();
}

std::optional<Batch> DynamicBatcher::Next() {
  while (true) {
    std::optional<Batch> batch;
    std::vector<InferenceTask> unwanted;
    {
      MutexLock lock(mutex_);
      const absl::Time now = absl::Now();
      unwanted = TakeUnwanted(now);
      std::vector<QueueView> views;
      for (const Queue& queue : queues_) views.push_back({queue.size(), queue.front().enqueued});
      const BatchDecision decision = DecideBatch(options_.batch, views, closed_, now);
      if (decision.queue) {
        batch = TakeBatch(decision, now);
      } else if (unwanted.empty()) {
        if (closed_ && queues_.empty()) return std::nullopt;
        work_.WaitUntil(mutex_, decision.wake);
        continue;
      }
    }
    AnswerUnwanted(std::move(unwanted));
    if (batch) {
      CountDispatch(*batch);
      return batch;
    }
  }
}

void DynamicBatcher::Sweep() {
  {
    MutexLock lock(mutex_);
    sweep_now_ = true;
  }
  sweep_.Notify();
}

void DynamicBatcher::Close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
  }
  work_.NotifyAll();
}

void DynamicBatcher::Abort() {
  Close();
  std::vector<Queue> queues;
  {
    MutexLock lock(mutex_);
    queues.swap(queues_);
    waiting_ = 0;
  }
  work_.NotifyAll();
  for (Queue& queue : queues) {
    for (InferenceTask& task : queue) {
      metrics_.rejected.draining.Increment();
      task.done(DrainingError());
    }
  }
}

size_t DynamicBatcher::waiting() const {
  MutexLock lock(mutex_);
  return waiting_;
}

absl::Duration DynamicBatcher::oldest() const {
  MutexLock lock(mutex_);
  const absl::Time now = absl::Now();
  absl::Time first = now;
  for (const Queue& queue : queues_) first = std::min(first, queue.front().enqueued);
  return now - first;
}

void DynamicBatcher::RunSweeper() {
  while (true) {
    std::vector<InferenceTask> unwanted;
    {
      MutexLock lock(mutex_);
      if (stop_sweeper_) return;
      sweep_now_ = false;
      unwanted = TakeUnwanted(absl::Now());
      if (unwanted.empty()) {
        next_sweep_ = EarliestDeadline();
        while (!sweep_now_ && !stop_sweeper_ && EarliestDeadline() >= next_sweep_ &&
               absl::Now() < next_sweep_) {
          sweep_.WaitUntil(mutex_, next_sweep_);
        }
      }
    }
    AnswerUnwanted(std::move(unwanted));
  }
}

std::vector<InferenceTask> DynamicBatcher::TakeUnwanted(absl::Time now) {
  std::vector<InferenceTask> unwanted;
  for (Queue& queue : queues_) {
    const auto first_unwanted =
        std::stable_partition(queue.begin(), queue.end(), [now](const InferenceTask& task) {
          return !IsUnwanted(task.deadline, task.cancelled, now);
        });
    std::move(first_unwanted, queue.end(), std::back_inserter(unwanted));
    queue.erase(first_unwanted, queue.end());
  }
  std::erase_if(queues_, [](const Queue& queue) { return queue.empty(); });
  waiting_ -= unwanted.size();
  return unwanted;
}

Batch DynamicBatcher::TakeBatch(const BatchDecision& decision, absl::Time now) {
  Batch batch;
  batch.cause = decision.cause;
  batch.cut = now;
  const auto queue = queues_.begin() + static_cast<std::ptrdiff_t>(*decision.queue);
  const auto last = queue->begin() + static_cast<std::ptrdiff_t>(decision.count);
  std::move(queue->begin(), last, std::back_inserter(batch.tasks));
  queue->erase(queue->begin(), last);
  waiting_ -= batch.tasks.size();
  if (queue->empty()) queues_.erase(queue);
  return batch;
}

absl::Time DynamicBatcher::EarliestDeadline() const {
  absl::Time earliest = absl::InfiniteFuture();
  for (const Queue& queue : queues_) {
    for (const InferenceTask& task : queue) earliest = std::min(earliest, task.deadline);
  }
  return earliest;
}

void DynamicBatcher::AnswerUnwanted(std::vector<InferenceTask> tasks) {
  for (InferenceTask& task : tasks) {
    task.done(DropUnwanted(task.cancelled, "a device", metrics_));
  }
}

void DynamicBatcher::CountDispatch(const Batch& batch) {
  switch (batch.cause) {
    case BatchCause::kFull:
      metrics_.batch_dispatch.full.Increment();
      break;
    case BatchCause::kDelay:
      metrics_.batch_dispatch.delay.Increment();
      break;
    case BatchCause::kIdleWorker:
      metrics_.batch_dispatch.idle_worker.Increment();
      break;
    case BatchCause::kDrain:
      metrics_.batch_dispatch.drain.Increment();
      break;
  }
  metrics_.batch_size.Observe(static_cast<double>(batch.tasks.size()));
}

}  // namespace proad::server
