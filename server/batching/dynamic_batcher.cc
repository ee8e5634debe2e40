#include "server/batching/dynamic_batcher.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

// A deadline is near when it leaves time for at most so many batches.
constexpr int kUrgentBatches = 3;
// Weight of the newest batch's time.
constexpr double kSmoothing = 0.1;

absl::Status DrainingError() {
  return MakeError(absl::StatusCode::kUnavailable,
                   "the server is shutting down; the image was not inspected",
                   {.reason = reason::kDraining});
}

}  // namespace

DynamicBatcher::DynamicBatcher(const Options& options, Metrics& metrics)
    : options_(options),
      adapts_(options.batch.adaptive_delay && !options.batch.take_when_idle),
      metrics_(metrics),
      sweeper_({.name = "batch-sweeper"}, [this] { Sweep(); }) {
  sweeper_.Start();
}

DynamicBatcher::~DynamicBatcher() {
  Abort();
  sweeper_.Stop();
}

absl::Status DynamicBatcher::Enqueue(InferenceTask&& task) {
  // A task that was cancelled before it came: its cancellation has been announced already.
  const bool unwanted = IsUnwanted(task.deadline, task.cancelled, absl::Now());
  const absl::Time deadline = unwanted ? absl::InfinitePast() : task.deadline;
  {
    MutexLock lock(mutex_);
    if (closed_) {
      refused_->Increment();
      return refusal_;
    }
    if (waiting_ >= options_.max_waiting) {
      return MakeError(
          absl::StatusCode::kResourceExhausted,
          absl::StrCat(waiting_, " images wait for a device already, the limit; try again later"),
          {.reason = reason::kQueueFull,
           .metadata = {{"limit", absl::StrCat(options_.max_waiting)}}});
    }
    task.enqueued = absl::Now();
    const auto same_model = [&task](const Queue& queue) {
      return queue.front().model == task.model;
    };
    auto queue = std::find_if(queues_.begin(), queues_.end(), same_model);
    if (queue == queues_.end()) queue = queues_.emplace(queues_.end());
    order_.Add(task.flow);
    queue->push_back(std::move(task));
    ++waiting_;
  }
  work_.Notify();
  sweeper_.WakeAt(deadline);
  return absl::OkStatus();
}

void DynamicBatcher::Expect() {
  if (!adapts_) return;
  MutexLock lock(mutex_);
  ++expected_;
}

void DynamicBatcher::Arrived() {
  if (!adapts_) return;
  bool last = false;
  {
    MutexLock lock(mutex_);
    last = --expected_ == 0;
  }
  if (last) work_.Notify();
}

std::optional<Batch> DynamicBatcher::Next() {
  while (true) {
    std::optional<Batch> batch;
    std::vector<InferenceTask> unwanted;
    {
      MutexLock lock(mutex_);
      const absl::Time now = absl::Now();
      unwanted = TakeUnwanted(now);
      absl::Time wake;
      batch = Cut(now, wake);
      if (!batch && unwanted.empty()) {
        if (closed_ && queues_.empty()) return std::nullopt;
        work_.WaitUntil(mutex_, wake);
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

void DynamicBatcher::AnswerCancelled() { sweeper_.Wake(); }

void DynamicBatcher::Close() { Close(DrainingError(), metrics_.rejected.draining); }

void DynamicBatcher::Close(const absl::Status& refusal, prometheus::Counter& refused) {
  {
    MutexLock lock(mutex_);
    if (!closed_) {
      refusal_ = refusal;
      refused_ = &refused;
    }
    closed_ = true;
  }
  work_.NotifyAll();
}

void DynamicBatcher::Abort() { Abort(DrainingError(), metrics_.rejected.draining); }

void DynamicBatcher::AbortWithoutWorkers(const absl::Status& why) {
  Abort(why, metrics_.rejected.no_worker);
}

void DynamicBatcher::Abort(const absl::Status& why, prometheus::Counter& refused) {
  Close(why, refused);
  std::vector<Queue> queues;
  {
    MutexLock lock(mutex_);
    queues.swap(queues_);
    order_ = FairOrder();
    waiting_ = 0;
  }
  work_.NotifyAll();
  for (Queue& queue : queues) {
    for (InferenceTask& task : queue) {
      refused.Increment();
      task.done(why);
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

void DynamicBatcher::Sweep() {
  std::vector<InferenceTask> unwanted;
  absl::Time next;
  {
    MutexLock lock(mutex_);
    unwanted = TakeUnwanted(absl::Now());
    next = EarliestDeadline();
  }
  AnswerUnwanted(std::move(unwanted));
  sweeper_.WakeAt(next);
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
  for (const InferenceTask& task : unwanted) order_.Remove(task.flow);
  waiting_ -= unwanted.size();
  return unwanted;
}

std::vector<FairOrder::Position> DynamicBatcher::Order(const Queue& queue, absl::Time now) const {
  std::vector<FairOrder::Waiting> waiting;
  waiting.reserve(queue.size());
  for (const InferenceTask& task : queue) {
    waiting.push_back({task.flow, task.enqueued, task.deadline});
  }
  return order_.Order(waiting, now + kUrgentBatches * batch_time_);
}

std::optional<Batch> DynamicBatcher::Cut(absl::Time now, absl::Time& wake) {
  std::vector<QueueView> views;
  std::vector<std::vector<FairOrder::Position>> orders;
  for (const Queue& queue : queues_) {
    orders.push_back(Order(queue, now));
    QueueView& view = views.emplace_back();
    view.waiting = queue.size();
    view.oldest = queue.front().enqueued;
    view.rank = orders.back().front().rank;
    for (const InferenceTask& task : queue) view.deadline = std::min(view.deadline, task.deadline);
  }
  const BatchDecision decision = DecideBatch(
      options_.batch, views,
      {.draining = closed_, .more_coming = expected_ > 0, .batch_time = batch_time_, .now = now});
  wake = decision.wake;
  if (!decision.queue) return std::nullopt;
  return Take(decision, absl::MakeConstSpan(orders[*decision.queue]).first(decision.count), now);
}

Batch DynamicBatcher::Take(const BatchDecision& decision,
                           absl::Span<const FairOrder::Position> positions, absl::Time now) {
  const auto queue = queues_.begin() + static_cast<std::ptrdiff_t>(*decision.queue);
  Batch batch;
  batch.cause = decision.cause;
  batch.cut = now;
  for (const FairOrder::Position& position : positions) {
    InferenceTask& task = (*queue)[position.index];
    order_.Serve(task.flow, position);
    batch.tasks.push_back(std::move(task));
  }
  std::erase_if(*queue, [](const InferenceTask& task) { return task.model == nullptr; });
  waiting_ -= batch.tasks.size();
  if (queue->empty()) queues_.erase(queue);
  return batch;
}

void DynamicBatcher::RecordBatchTime(absl::Duration took) {
  MutexLock lock(mutex_);
  batch_time_ =
      batch_time_ == absl::ZeroDuration() ? took : batch_time_ + kSmoothing * (took - batch_time_);
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
    case BatchCause::kDeadline:
      metrics_.batch_dispatch.deadline.Increment();
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
