#include "server/util/byte_budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/sync.h"

namespace proad::server {
namespace {

// Returns when `count` calls wait.
void AwaitWaiting(const ByteBudget& budget, int64_t count) {
  while (budget.waiting() < count) std::this_thread::yield();
}

TEST(ByteBudgetTest, LeasesGiveTheirBytesBack) {
  ByteBudget budget(100);
  {
    const ByteBudget::Lease first = budget.Acquire(60);
    ByteBudget::Lease second = budget.Acquire(40);
    EXPECT_EQ(budget.used(), 100);
    const ByteBudget::Lease moved = std::move(second);
    EXPECT_EQ(budget.used(), 100);
  }
  EXPECT_EQ(budget.used(), 0);
}

TEST(ByteBudgetTest, ALeaseThatDoesNotFitWaits) {
  ByteBudget budget(100);
  Event leased;
  auto held = std::make_unique<ByteBudget::Lease>(budget.Acquire(60));
  std::thread thread([&] {
    const ByteBudget::Lease lease = budget.Acquire(41);
    leased.Set();
  });
  AwaitWaiting(budget, 1);
  EXPECT_FALSE(leased.IsSet());
  held.reset();
  leased.Wait();
  thread.join();
}

TEST(ByteBudgetTest, MoreThanTheLimitIsLeasedAlone) {
  ByteBudget budget(100);
  const ByteBudget::Lease large = budget.Acquire(1000);
  EXPECT_EQ(budget.used(), 1000);
}

TEST(ByteBudgetTest, SmallLeasesDoNotOvertakeALargeOne) {
  ByteBudget budget(100);
  Collected<int> order;
  auto held = std::make_unique<ByteBudget::Lease>(budget.Acquire(60));
  std::thread large([&] {
    const ByteBudget::Lease lease = budget.Acquire(90);
    order.Add(1);
  });
  AwaitWaiting(budget, 1);
  std::thread small([&] {
    const ByteBudget::Lease lease = budget.Acquire(20);  // would fit beside `held`
    order.Add(2);
  });
  AwaitWaiting(budget, 2);
  held.reset();
  EXPECT_EQ(order.Await(2), (std::vector<int>{1, 2}));
  large.join();
  small.join();
}

TEST(ByteBudgetTest, NeverExceedsItsLimitUnderManyThreads) {
  ByteBudget budget(10);
  std::atomic<int64_t> in_use = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) {
        const int64_t bytes = 1 + (t + i) % 10;
        const ByteBudget::Lease lease = budget.Acquire(bytes);
        EXPECT_LE(in_use += bytes, 10);
        in_use -= bytes;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(budget.used(), 0);
}

}  // namespace
}  // namespace proad::server
