#include "server/util/thread_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/sync.h"

namespace proad::server {
namespace {

using ::testing::ElementsAre;

// Keeps one thread of a pool busy until Release.
class Blocker {
 public:
  explicit Blocker(ThreadPool& pool) {
    EXPECT_TRUE(pool.TryPost([this] {
      started_.Set();
      released_.Wait();
    }));
    started_.Wait();
  }
  void Release() { released_.Set(); }

 private:
  Event started_{"the blocking task to start"};
  Event released_{"Release()"};
};

TEST(ThreadPool, RunsTasksInTheirOrder) {
  ThreadPool pool({.threads = 1});
  std::vector<int> order;
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(pool.TryPost([&order, i] { order.push_back(i); }));
  pool.Stop();
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3));
}

TEST(ThreadPool, RunsTasksAtOnceOnAllThreads) {
  ThreadPool pool({.threads = 3});
  // Each of the three waits for the other two: with fewer threads this would never end.
  Event all_arrived{"three tasks at once"};
  std::atomic<int> arrived = 0;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(pool.TryPost([&] {
      if (++arrived == 3) all_arrived.Set();
      all_arrived.Wait();
    }));
  }
  pool.Stop();
  EXPECT_EQ(arrived, 3);
}

TEST(ThreadPool, RefusesWhileTheQueueIsFull) {
  ThreadPool pool({.threads = 1, .max_queued = 2});
  Blocker blocker(pool);
  int ran = 0;
  EXPECT_TRUE(pool.TryPost([&ran] { ++ran; }));
  EXPECT_TRUE(pool.TryPost([&ran] { ++ran; }));
  EXPECT_EQ(pool.queued(), 2u);

  auto held = std::make_shared<int>(1);
  EXPECT_FALSE(pool.TryPost([held] { FAIL() << "a refused task ran"; }));
  EXPECT_EQ(held.use_count(), 1) << "a refused task must be destroyed";

  blocker.Release();
  Event done{"the posted task"};
  pool.Post([&done] { done.Set(); });
  done.Wait();
  EXPECT_EQ(ran, 2);
  EXPECT_TRUE(pool.TryPost([&ran] { ++ran; }));
  pool.Stop();
  EXPECT_EQ(ran, 3);
}

TEST(ThreadPool, PostAcceptsTasksBeyondTheBound) {
  ThreadPool pool({.threads = 1, .max_queued = 1});
  Blocker blocker(pool);
  int ran = 0;
  EXPECT_TRUE(pool.TryPost([&ran] { ++ran; }));
  for (int i = 0; i < 5; ++i) pool.Post([&ran] { ++ran; });
  blocker.Release();
  pool.Stop();
  EXPECT_EQ(ran, 6);
}

TEST(ThreadPool, StopRunsQueuedTasksAndTheTasksThatTheyPost) {
  ThreadPool pool({.threads = 2});
  std::atomic<int> ran = 0;
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(pool.TryPost([&] {
      pool.Post([&] {
        pool.Post([&] { ++ran; });
        ++ran;
      });
      ++ran;
    }));
  }
  pool.Stop();
  EXPECT_EQ(ran, 150);
}

TEST(ThreadPool, AfterStopNewWorkIsRefusedAndPostedTasksRunInTheCaller) {
  ThreadPool pool({.threads = 2});
  pool.Stop();
  pool.Stop();
  EXPECT_FALSE(pool.TryPost([] { FAIL() << "ran after Stop"; }));
  std::thread::id where;
  pool.Post([&where] { where = std::this_thread::get_id(); });
  EXPECT_EQ(where, std::this_thread::get_id());
}

TEST(ThreadPool, NamesItsThreads) {
  ThreadPool pool({.name = "preprocessing", .threads = 1});
  char name[16] = {};
  ASSERT_TRUE(pool.TryPost([&name] { pthread_getname_np(pthread_self(), name, sizeof(name)); }));
  pool.Stop();
  EXPECT_STREQ(name, "preprocessi-0");
}

TEST(ThreadPool, LosesNothingWhenManyThreadsPostWhileItStops) {
  for (int round = 0; round < 20; ++round) {
    ThreadPool pool({.threads = 2, .max_queued = 1000});
    std::atomic<int> accepted = 0, ran = 0;
    std::vector<std::thread> producers;
    for (int i = 0; i < 3; ++i) {
      producers.emplace_back([&] {
        for (int k = 0; k < 100; ++k) {
          if (pool.TryPost([&] { ++ran; })) ++accepted;
          pool.Post([&] { ++ran; });
          ++accepted;
        }
      });
    }
    pool.Stop();
    for (std::thread& producer : producers) producer.join();
    EXPECT_EQ(ran, accepted);
  }
}

}  // namespace
}  // namespace proad::server
