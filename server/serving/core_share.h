// How many of a CPU's cores a batch computes with, where several batches are computed at once.
#pragma once

#include <atomic>

namespace proad::server {

// A batch that is alone has all cores, and is answered soonest. Of several each has its part, at
// best one core: then no thread waits for another, and most images a second are inspected. What a
// batch has it keeps to its end.
//
// Thread-safety: all may be called from any thread.
class CoreShare {
 public:
  // `cores` at least 1. `threads` for every batch whatever else is computed; 0: its part.
  explicit CoreShare(int cores, int threads = 0) : cores_(cores), threads_(threads) {}
  CoreShare(const CoreShare&) = delete;
  CoreShare& operator=(const CoreShare&) = delete;

  // A batch, while it is computed. The share outlives it.
  class Batch {
   public:
    explicit Batch(CoreShare& share);
    ~Batch();
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

    // That it is to compute with; at least 1.
    int threads() const { return threads_; }

   private:
    CoreShare& share_;
    int threads_;
  };

 private:
  const int cores_;
  const int threads_;
  std::atomic<int> batches_ = 0;  // computed now
};

}  // namespace proad::server
