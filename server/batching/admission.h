// Bounds the images that the server accepts and has not answered yet. It refuses more images at
// once and never queues them.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/batching/sojourn_estimate.h"
#include "server/telemetry/metrics.h"
#include "server/util/clock.h"
#include "server/util/mutex.h"

namespace proad::server {

// Estimates how long the admitted images will take, from the latest ones. Not thread-safe.
class DrainEstimate {
 public:
  // An image that was admitted at `admitted` was answered at `now`.
  void Ended(absl::Time admitted, absl::Time now);

  // Time until `in_flight` images are answered: 10 ms to 30 s; 1 s before the first answer.
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
    int64_t max_images = 256;         // admitted and not yet answered
    int64_t max_bytes = 512LL << 20;  // of their files or frames; at least image.max_bytes
    // Workers. With fewer images in flight a worker is free, and no image is refused because of its
    // deadline: its answer shows how fast the server is now.
    int64_t at_once = 1;
  };

  // How an image ended. The first two show how fast the server is.
  enum class Ending {
    kInspected,
    kExpired,  // the deadline passed while it waited
    kOther,
  };

  // The right to have one image in flight, until it is released or destroyed. The Admission must
  // outlive it.
  class Ticket {
   public:
    Ticket() = default;
    Ticket(Ticket&& other) noexcept;
    Ticket& operator=(Ticket&& other) noexcept;
    ~Ticket() { Release(); }

    void Release(Ending ending = Ending::kOther);

   private:
    friend class Admission;
    // One admitted image.
    struct Entry {
      int64_t bytes = 0;
      absl::Time admitted;
      int64_t ahead = 0;  // images in flight before it
    };

    Ticket(Admission* admission, const Entry& entry) : admission_(admission), entry_(entry) {}

    Admission* admission_ = nullptr;
    Entry entry_;
  };

  // `metrics` must outlive it.
  Admission(const Options& options, Metrics& metrics, Clock clock = absl::Now);
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // Admits one image of `bytes`.
  //   RESOURCE_EXHAUSTED  QUEUE_FULL, BYTES_FULL or DEADLINE_UNATTAINABLE; retry after drain_time()
  //   UNAVAILABLE         DRAINING, after Stop
  absl::StatusOr<Ticket> Admit(int64_t bytes, absl::Time deadline = absl::InfiniteFuture());

  // Estimated time until the images in flight are answered.
  absl::Duration drain_time() const;

  // Admits no more images.
  void Stop();

  // Waits until no image is in flight. False when `deadline` passes first.
  bool AwaitIdle(absl::Time deadline);

  int64_t in_flight() const;
  int64_t bytes() const;

 private:
  void Release(const Ticket::Entry& entry, Ending ending);
  // Estimated time until an image that comes now is answered; nullopt while a worker is free, or
  // before the first answer.
  std::optional<absl::Duration> Wait() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  Metrics& metrics_;
  const Clock clock_;

  mutable Mutex mutex_;
  CondVar idle_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  DrainEstimate drain_ ABSL_GUARDED_BY(mutex_);
  SojournEstimate sojourn_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace proad::server
