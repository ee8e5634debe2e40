// A fixed number of threads that run tasks in the order of their arrival.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "server/util/mutex.h"

namespace proad::server {

// Thread-safety: all methods may be called from any thread, Stop only from outside the pool. Tasks
// must not throw and should be short: a task that blocks occupies a thread.
class ThreadPool {
 public:
  using Task = absl::AnyInvocable<void() &&>;

  struct Options {
    std::string name = "pool";  // of the threads; its first 11 bytes and a number are visible
    int threads = 1;
    size_t max_queued = 1024;  // tasks waiting, for TryPost
  };

  explicit ThreadPool(const Options& options);
  ~ThreadPool();  // Stop()
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Queues a task for new work. Returns false and destroys the task when `max_queued` tasks wait or
  // after Stop.
  [[nodiscard]] bool TryPost(Task task);

  // Queues a later step of work that was admitted elsewhere, and never refuses it: the bound of
  // that admission bounds the queue, not `max_queued`. After Stop the task runs in the calling
  // thread.
  void Post(Task task);

  // Runs the queued tasks and those that they post, then joins the threads. Idempotent.
  void Stop();

  // Waiting tasks.
  size_t queued() const;

 private:
  void Run(int index);

  const Options options_;

  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  std::vector<std::thread> threads_;  // written by the constructor and Stop only
};

}  // namespace proad::server
