#include "server/batching/batch_policy.h"

#include <algorithm>

namespace proad::server {
namespace {

// The last moment to cut a batch that meets the nearest deadline of the queue, with one batch time
// of reserve.
absl::Time LastCall(const QueueView& queue, absl::Duration batch_time) {
  return queue.deadline - 2 * batch_time;
}

// Why a batch may be cut from this queue now; nullopt when it is not due.
std::optional<BatchCause> DueBecause(const BatchOptions& options, const QueueView& queue,
                                     const BatchMoment& moment) {
  if (queue.waiting == 0) return std::nullopt;
  if (queue.waiting >= options.max_batch) return BatchCause::kFull;
  if (moment.draining) return BatchCause::kDrain;
  if (moment.now >= queue.oldest + options.max_delay) return BatchCause::kDelay;
  if (options.take_when_idle) return BatchCause::kIdleWorker;
  if (options.adaptive_delay && !moment.more_coming) return BatchCause::kIdleWorker;
  if (moment.now >= LastCall(queue, moment.batch_time)) return BatchCause::kDeadline;
  return std::nullopt;
}

}  // namespace

absl::string_view BatchCauseName(BatchCause cause) {
  switch (cause) {
    case BatchCause::kFull:
      return "full";
    case BatchCause::kDelay:
      return "delay";
    case BatchCause::kDeadline:
      return "deadline";
    case BatchCause::kIdleWorker:
      return "idle_worker";
    case BatchCause::kDrain:
      return "drain";
  }
  return "unknown";
}

BatchDecision DecideBatch(const BatchOptions& options, absl::Span<const QueueView> queues,
                          const BatchMoment& moment) {
  BatchDecision decision;
  for (size_t i = 0; i < queues.size(); ++i) {
    const QueueView& queue = queues[i];
    const std::optional<BatchCause> cause = DueBecause(options, queue, moment);
    if (!cause) {
      if (queue.waiting > 0) {
        decision.wake = std::min(
            {decision.wake, queue.oldest + options.max_delay, LastCall(queue, moment.batch_time)});
      }
      continue;
    }
    if (decision.queue && queues[*decision.queue].rank <= queue.rank) continue;
    decision.queue = i;
    decision.count = std::min(queue.waiting, options.max_batch);
    decision.cause = *cause;
  }
  return decision;
}

}  // namespace proad::server
