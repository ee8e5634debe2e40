// How much work the server takes on at once. What exceeds it is refused at once, never queued.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/batching/sojourn_estimate.h"
#include "server/telemetry/metrics.h"
#include "server/util/mutex.h"

namespace proad::server {

// How long the work that was admitted will take, from how it went lately. Not thread-safe.
class DrainEstimate {
 public:
  // A piece of work that was admitted at `admitted` ended at `now`.
  void Ended(absl::Time admitted, absl::Time now);

  // Until `in_flight` pieces are done: 10 ms to 30 s; 1 s while nothing is known.
  absl::Duration For(int64_t in_flight) const;

 private:
  std::optional<absl::Duration> interval_;  // smoothed
  int64_t ended_ = 0;
  absl::Time last_end_ = absl::InfinitePast();
};

// Thread-safety: all methods may be called from any thread; none blocks except AwaitIdle.
class Admission {
 public:
  struct Options {
    int64_t max_images = 256;  // admitted and not yet answered
    int64_t max_bytes =
        512LL << 20;  // of their encoded pictures or frames; at least one picture's limit
    // How many workers there are. With less than this in flight there is no queue to wait in, and
    // nothing is refused because of its deadline: whatever went before, the next answer tells how
    // fast the server is now.
    int64_t at_once = 1;
  };

  // What became of an image. The first two say how fast the server is.
  enum class Ending {
    kInspected,
    kExpired,  // its deadline passed while it waited
    kOther,
  };

  // Room for one image; gives it back when destroyed or released. The Admission must outlive it.
  class Ticket {
   public:
    Ticket() = default;
    Ticket(Ticket&& other) noexcept;
    Ticket& operator=(Ticket&& other) noexcept;
    ~Ticket() { Release(); }

    void Release(Ending ending = Ending::kOther);

   private:
    friend class Admission;
    // What is known of an image that was admitted.
    struct Entry {
      int64_t bytes = 0;
      absl::Time admitted;
      int64_t ahead = 0;  // in flight before it
    };

    Ticket(Admission* admission, const Entry& entry) : admission_(admission), entry_(entry) {}

    Admission* admission_ = nullptr;
    Entry entry_;
  };

  Admission(const Options& options, Metrics& metrics);
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // Room for one image of `bytes`, or why there is none: RESOURCE_EXHAUSTED (QUEUE_FULL,
  // BYTES_FULL, DEADLINE_UNATTAINABLE) with the estimated drain time to retry after, UNAVAILABLE
  // (DRAINING) after Stop.
  absl::StatusOr<Ticket> Admit(int64_t bytes, absl::Time deadline = absl::InfiniteFuture());

  // Until what is admitted now is done, estimated.
  absl::Duration drain_time() const;

  // Admits nothing any more.
  void Stop();

  // Waits until no ticket is out. False when `deadline` came first.
  bool AwaitIdle(absl::Time deadline);

  int64_t in_flight() const;
  int64_t bytes() const;

 private:
  void Release(const Ticket::Entry& entry, Ending ending);
  // Until an image that comes now is answered; nullopt while there is no queue, or nothing known.
  std::optional<absl::Duration> Wait() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  Metrics& metrics_;

  mutable Mutex mutex_;
  CondVar idle_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  DrainEstimate drain_ ABSL_GUARDED_BY(mutex_);
  SojournEstimate sojourn_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace proad::server
