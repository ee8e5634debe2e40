#include "server/util/byte_budget.h"

namespace proad::server {

ByteBudget::Lease ByteBudget::Acquire(int64_t bytes) {
  {
    MutexLock lock(mutex_);
    const uint64_t number = next_++;
    while (number != first_ || (used_ > 0 && bytes > limit_ - used_)) changed_.Wait(mutex_);
    ++first_;
    used_ += bytes;
  }
  changed_.NotifyAll();  // the next call may fit, too
  return Lease(this, bytes);
}

void ByteBudget::Release(int64_t bytes) {
  {
    MutexLock lock(mutex_);
    used_ -= bytes;
  }
  changed_.NotifyAll();
}

int64_t ByteBudget::used() const {
  MutexLock lock(mutex_);
  return used_;
}

int64_t ByteBudget::waiting() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(next_ - first_);
}

}  // namespace proad::server
