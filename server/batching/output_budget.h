// The memory of answers: how many bytes of heatmaps and overlays the server holds at once.
//
// An image reserves the bytes of its answer when it is admitted, and its answer holds them until it
// is written to the connection. A client that does not read its answers therefore costs a bounded
// amount of memory: further images with maps are refused at once.
#pragma once

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/telemetry/metrics.h"
#include "server/util/mutex.h"

namespace proad::server {

// Thread-safety: all methods may be called from any thread; none blocks.
class OutputBudget {
 public:
  struct Options {
    int64_t max_bytes = int64_t{256} << 20;
  };

  // A part of the budget; returns it when destroyed. The budget must outlive it. Not thread-safe.
  class Reservation {
   public:
    Reservation() = default;
    Reservation(Reservation&& other) noexcept;
    Reservation& operator=(Reservation&& other) noexcept;
    ~Reservation() { ShrinkTo(0); }

    // Returns the bytes beyond `bytes`. Does nothing when the reservation is not larger.
    void ShrinkTo(int64_t bytes);

    int64_t bytes() const { return bytes_; }

   private:
    friend class OutputBudget;
    Reservation(OutputBudget* budget, int64_t bytes) : budget_(budget), bytes_(bytes) {}

    OutputBudget* budget_ = nullptr;
    int64_t bytes_ = 0;
  };

  OutputBudget(const Options& options, Metrics& metrics);
  OutputBudget(const OutputBudget&) = delete;
  OutputBudget& operator=(const OutputBudget&) = delete;

  // Reserves `bytes`, or RESOURCE_EXHAUSTED (OUTPUT_FULL) with `retry_after`, counted as rejected.
  absl::StatusOr<Reservation> Reserve(int64_t bytes, absl::Duration retry_after);

  // Bytes that are reserved.
  int64_t bytes() const;

 private:
  void Release(int64_t bytes);

  const Options options_;
  Metrics& metrics_;

  mutable Mutex mutex_;
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace proad::server
