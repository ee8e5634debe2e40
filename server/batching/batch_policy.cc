#include "server/batching/batch_policy.h"

#include <algorithm>

namespace proad::server {
namespace {

// Why this queue may be cut now; nullopt: it is not due.
std::optional<BatchCause> DueBecause(const BatchOptions& options, const QueueView& queue,
                                     bool draining, absl::Time now) {
  if (queue.waiting == 0) return std::nullopt;
  if (queue.waiting >= options.max_batch) return BatchCause::kFull;
  if (draining) return BatchCause::kDrain;
  if (now >= queue.oldest + options.max_delay) return BatchCause::kDelay;
  if (options.take_when_idle) return BatchCause::kIdleWorker;
  return std::nullopt;
}

}  // namespace

absl::string_view BatchCauseName(BatchCause cause) {
  switch (cause) {
    case BatchCause::kFull:
      return "full";
    case BatchCause::kDelay:
      return "delay";
    case BatchCause::kIdleWorker:
      return "idle_worker";
    case BatchCause::kDrain:
      return "drain";
  }
  return "unknown";
}

BatchDecision DecideBatch(const BatchOptions& options, absl::Span<const QueueView> queues,
                          bool draining, absl::Time now) {
  BatchDecision decision;
  for (size_t i = 0; i < queues.size(); ++i) {
    const QueueView& queue = queues[i];
    const std::optional<BatchCause> cause = DueBecause(options, queue, draining, now);
    if (!cause) {
      if (queue.waiting > 0) {
        decision.wake = std::min(decision.wake, queue.oldest + options.max_delay);
      }
      continue;
    }
    if (decision.queue && queues[*decision.queue].oldest <= queue.oldest) continue;
    decision.queue = i;
    decision.count = std::min(queue.waiting, options.max_batch);
    decision.cause = *cause;
  }
  return decision;
}

}  // namespace proad::server
