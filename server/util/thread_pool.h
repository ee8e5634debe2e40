// A fixed number of threads that run tasks in the order in which they came.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "server/util/mutex.h"

namespace proad::server {

// Thread-safety: all methods may be called from any thread, Stop only from outside the pool.
// Tasks must not throw and should be short: a thread that waits is a thread lost.
class ThreadPool {
 public:
  using Task = absl::AnyInvocable<void() &&>;

  struct Options {
    std::string name = "pool";  // of the threads; the system shows its first 11 bytes and a number
    int threads = 1;
    size_t max_queued = 1024;  // tasks waiting, for TryPost
  };

  explicit ThreadPool(const Options& options);
  ~ThreadPool();  // Stop()
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Queues a task for new work. False, with the task not taken and destroyed, when `max_queued`
  // tasks wait or after Stop: full means no, at once.
  [[nodiscard]] bool TryPost(Task task);

  // Queues the next step of work that was admitted elsewhere, so that it is never lost half-way:
  // the bound on the queue is the bound of that admission, not `max_queued`. After Stop the task
  // runs in the calling thread.
  void Post(Task task);

  // Runs what is queued, and what that posts, then joins the threads. Idempotent.
  void Stop();

  // Tasks that wait.
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
