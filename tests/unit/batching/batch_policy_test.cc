#include "server/batching/batch_policy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace proad::server {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'000);

absl::Time At(int milliseconds) { return kStart + absl::Milliseconds(milliseconds); }

struct Expected {
  std::optional<size_t> queue;
  size_t count = 0;
  BatchCause cause = BatchCause::kFull;
  absl::Time wake = absl::InfiniteFuture();
};

QueueView Ranked(size_t waiting, absl::Time oldest, int64_t rank) {
  return {.waiting = waiting, .oldest = oldest, .rank = rank};
}

QueueView Hurried(size_t waiting, absl::Time oldest, absl::Time deadline) {
  return {.waiting = waiting, .oldest = oldest, .deadline = deadline};
}

struct Case {
  std::string name;
  std::vector<QueueView> queues;
  bool take_when_idle;
  bool draining;
  int now;  // ms after kStart
  Expected expected;
  bool more_coming = true;
};

// max_batch 4, max_delay 10 ms; a batch takes 2 ms.
const std::vector<Case>& Cases() {
  static const auto& cases = *new std::vector<Case>{
      {"nothing waits", {}, true, false, 0, {}},
      {"nothing waits while draining", {}, true, true, 0, {}},
      {"empty queues count as nothing", {{0, At(0)}}, true, true, 50, {}},
      {"an idle worker takes one at once",
       {{1, At(0)}},
       true,
       false,
       0,
       {0, 1, BatchCause::kIdleWorker}},
      {"without that it waits for the delay",
       {{3, At(0)}},
       false,
       false,
       9,
       {std::nullopt, 0, BatchCause::kFull, At(10)}},
      {"nor for the delay when nobody else is on the way",
       {{1, At(0)}},
       false,
       false,
       0,
       {0, 1, BatchCause::kIdleWorker},
       false},
      {"the delay is over on the dot", {{3, At(0)}}, false, false, 10, {0, 3, BatchCause::kDelay}},
      {"a full batch waits for nothing", {{4, At(0)}}, false, false, 0, {0, 4, BatchCause::kFull}},
      {"never more than a batch", {{9, At(0)}}, false, false, 50, {0, 4, BatchCause::kFull}},
      {"drain takes what is there", {{2, At(0)}}, false, true, 1, {0, 2, BatchCause::kDrain}},
      {"full is said even when draining", {{4, At(0)}}, false, true, 1, {0, 4, BatchCause::kFull}},
      {"late is said even when idle", {{2, At(0)}}, true, false, 30, {0, 2, BatchCause::kDelay}},
      {"the smallest rank goes first",
       {Ranked(2, At(1), 3), Ranked(2, At(3), 1), Ranked(2, At(2), 2)},
       true,
       false,
       4,
       {1, 2, BatchCause::kIdleWorker}},
      {"a smaller rank goes before a fuller queue",
       {Ranked(4, At(1), 5), Ranked(1, At(5), 1)},
       true,
       false,
       6,
       {1, 1, BatchCause::kIdleWorker}},
      {"a full queue goes before one of smaller rank that is not due",
       {Ranked(1, At(1), 1), Ranked(4, At(5), 5)},
       false,
       false,
       6,
       {1, 4, BatchCause::kFull, At(11)}},
      {"of two equal ranks the first",
       {{1, At(0)}, {1, At(0)}},
       true,
       false,
       0,
       {0, 1, BatchCause::kIdleWorker}},
      {"wakes for the queue that is due first",
       {{1, At(7)}, {1, At(2)}},
       false,
       false,
       8,
       {std::nullopt, 0, BatchCause::kFull, At(12)}},
      {"a deadline leaves time for two batches and no more",
       {Hurried(1, At(0), At(8))},
       false,
       false,
       4,
       {0, 1, BatchCause::kDeadline}},
      {"wakes for the deadline that is in danger first",
       {Hurried(1, At(0), At(8)), Hurried(1, At(0), At(7))},
       false,
       false,
       2,
       {std::nullopt, 0, BatchCause::kFull, At(3)}},
  };
  return cases;
}

TEST(BatchPolicyTest, Table) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.name);
    const BatchOptions options{
        .max_batch = 4, .max_delay = absl::Milliseconds(10), .take_when_idle = c.take_when_idle};
    const BatchDecision decision = DecideBatch(options, c.queues,
                                               {.draining = c.draining,
                                                .more_coming = c.more_coming,
                                                .batch_time = absl::Milliseconds(2),
                                                .now = At(c.now)});
    EXPECT_EQ(decision.queue, c.expected.queue);
    EXPECT_EQ(decision.count, c.expected.count);
    EXPECT_EQ(decision.wake, c.expected.wake);
    if (decision.queue) {
      EXPECT_EQ(decision.cause, c.expected.cause) << BatchCauseName(decision.cause);
    }
  }
}

}  // namespace
}  // namespace proad::server
