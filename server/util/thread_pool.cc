#include "server/util/thread_pool.h"

#include <pthread.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace proad::server {

ThreadPool::ThreadPool(const Options& options) : options_(options) {
  threads_.reserve(options_.threads);
  for (int i = 0; i < options_.threads; ++i) {
    threads_.emplace_back([this, i] { Run(i); });
  }
}

ThreadPool::~ThreadPool() { Stop(); }

bool ThreadPool::TryPost(Task task) {
  {
    MutexLock lock(mutex_);
    if (stopping_ || tasks_.size() >= options_.max_queued) return false;
    tasks_.push_back(std::move(task));
  }
  changed_.Notify();
  return true;
}

void ThreadPool::Post(Task task) {
  {
    MutexLock lock(mutex_);
    if (!stopped_) {
      tasks_.push_back(std::move(task));
      changed_.Notify();
      return;
    }
  }
  std::move(task)();
}

void ThreadPool::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();

  // A task may have been posted from outside after the last thread had ended.
  while (true) {
    Task task;
    {
      MutexLock lock(mutex_);
      if (tasks_.empty()) {
        stopped_ = true;
        return;
      }
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    std::move(task)();
  }
}

size_t ThreadPool::queued() const {
  MutexLock lock(mutex_);
  return tasks_.size();
}

void ThreadPool::Run(int index) {
  // The kernel takes 15 bytes.
  const std::string name = absl::StrCat(options_.name.substr(0, 11), "-", index).substr(0, 15);
  pthread_setname_np(pthread_self(), name.c_str());
  while (true) {
    Task task;
    {
      MutexLock lock(mutex_);
      while (tasks_.empty() && !stopping_) changed_.Wait(mutex_);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    std::move(task)();
  }
}

}  // namespace proad::server
