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

struct Case {
  std::string name;
  std::vector<QueueView> queues;
  bool take_when_idle;
  bool draining;
  int now;  // ms after kStart
  Expected expected;
};

// max_batch 4, max_delay 10 ms.
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
      {"the delay is over on the dot", {{3, At(0)}}, false, false, 10, {0, 3, BatchCause::kDelay}},
      {"a full batch waits for nothing", {{4, At(0)}}, false, false, 0, {0, 4, BatchCause::kFull}},
      {"never more than a batch", {{9, At(0)}}, false, false, 50, {0, 4, BatchCause::kFull}},
      {"drain takes what is there", {{2, At(0)}}, false, true, 1, {0, 2, BatchCause::kDrain}},
      {"full is said even when draining", {{4, At(0)}}, false, true, 1, {0, 4, BatchCause::kFull}},
      {"late is said even when idle", {{2, At(0)}}, true, false, 30, {0, 2, BatchCause::kDelay}},
      {"the oldest head goes first",
       {{2, At(3)}, {2, At(1)}, {2, At(2)}},
       true,
       false,
       4,
       {1, 2, BatchCause::kIdleWorker}},
      {"an older head goes before a fuller queue",
       {{4, At(5)}, {1, At(1)}},
       true,
       false,
       6,
       {1, 1, BatchCause::kIdleWorker}},
      {"a full queue goes before an older one that is not due",
       {{1, At(1)}, {4, At(5)}},
       false,
       false,
       6,
       {1, 4, BatchCause::kFull, At(11)}},
      {"of two equal heads the first",
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
  };
  return cases;
}

TEST(BatchPolicyTest, Table) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.name);
    const BatchOptions options{
        .max_batch = 4, .max_delay = absl::Milliseconds(10), .take_when_idle = c.take_when_idle};
    const BatchDecision decision = DecideBatch(options, c.queues, c.draining, At(c.now));
    EXPECT_EQ(decision.queue, c.expected.queue);
    EXPECT_EQ(decision.count, c.expected.count);
    EXPECT_EQ(decision.wake, c.expected.wake);
    if (decision.queue) {
      EXPECT_EQ(decision.cause, c.expected.cause) << BatchCauseName(decision.cause);
    }
  }
}

TEST(BatchPolicyTest, NoQueueStarvesBehindABusierOne) {
  // A busy version always has a full batch waiting; a quiet one has a single image.
  const BatchOptions options{.max_batch = 4, .take_when_idle = false};
  int busy_oldest = 0;
  for (int turn = 0; turn < 10; ++turn) {
    const std::vector<QueueView> queues = {{8, At(busy_oldest)}, {1, At(4)}};
    const BatchDecision decision = DecideBatch(options, queues, false, At(20 + turn));
    ASSERT_TRUE(decision.queue.has_value());
    if (*decision.queue == 1) {
      EXPECT_LE(turn, 3);
      return;
    }
    busy_oldest += 2;
  }
  FAIL() << "the quiet version was never served";
}

}  // namespace
}  // namespace proad::server
