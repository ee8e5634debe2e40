// Divides the cores of a CPU among the batches that are computed at the same time.
#pragma once

#include <atomic>

namespace proad::server {

// A batch that starts alone gets all cores, which gives the lowest latency. A batch that starts
// while others run gets the cores divided by the number of batches, at least one; one core for each
// batch gives the highest throughput, because no thread waits for another. A batch keeps its share
// until it ends.
//
// Thread-safety: all methods may be called from any thread.
class CoreShare {
 public:
  // `cores`: at least 1. `threads`: the threads of every batch; 0: its share of the cores.
  explicit CoreShare(int cores, int threads = 0) : cores_(cores), threads_(threads) {}
  CoreShare(const CoreShare&) = delete;
  CoreShare& operator=(const CoreShare&) = delete;

  // Exists while a batch is computed. The share must outlive it.
  class Batch {
   public:
    explicit Batch(CoreShare& share);
    ~Batch();
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

    // Threads to compute with; at least 1.
    int threads() const { return threads_; }

   private:
    CoreShare& share_;
    int threads_;
  };

 private:
  const int cores_;
  const int threads_;
  std::atomic<int> batches_ = 0;  // that exist
};

}  // namespace proad::server
