// Bounds the memory that threads use at once.
#pragma once

#include <cstdint>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "server/util/mutex.h"

namespace proad::server {

// A semaphore of bytes. Thread-safety: all methods may be called from any thread.
class ByteBudget {
 public:
  // Gives its bytes back when it is destroyed. The budget must outlive it.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), bytes_(other.bytes_) {}
    Lease& operator=(Lease&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Lease() {
      if (budget_ != nullptr) budget_->Release(bytes_);
    }

   private:
    friend class ByteBudget;
    Lease(ByteBudget* budget, int64_t bytes) : budget_(budget), bytes_(bytes) {}

    ByteBudget* budget_ = nullptr;
    int64_t bytes_ = 0;
  };

  explicit ByteBudget(int64_t limit) : limit_(limit) {}
  ByteBudget(const ByteBudget&) = delete;
  ByteBudget& operator=(const ByteBudget&) = delete;

  // Waits until `bytes` fit beside the other leases, in the order of the calls. More bytes than the
  // limit are leased while there is no other lease. A thread that holds a lease must not call it.
  Lease Acquire(int64_t bytes);

  int64_t limit() const { return limit_; }
  int64_t used() const;     // bytes of the leases
  int64_t waiting() const;  // calls of Acquire that wait

 private:
  void Release(int64_t bytes);

  const int64_t limit_;

  mutable Mutex mutex_;
  CondVar changed_;
  int64_t used_ ABSL_GUARDED_BY(mutex_) = 0;
  // Calls are numbered; the next one to get its lease is `first_`.
  uint64_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t first_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace proad::server
