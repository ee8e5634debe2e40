#include "server/batching/admission.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

// Weight of the newest interval. The images of a batch end together, so an estimate needs several
// batches.
constexpr double kSmoothing = 0.02;

absl::Status FullError(absl::string_view reason, absl::string_view what, int64_t limit,
                       absl::Duration retry_after) {
  return MakeError(
      absl::StatusCode::kResourceExhausted,
      absl::StrCat("the server is full: ", what, "; try again in ",
                   absl::FormatDuration(absl::Trunc(retry_after, absl::Milliseconds(1)))),
      {.reason = std::string(reason),
       .retry_after = retry_after,
       .metadata = {{"limit", absl::StrCat(limit)}}});
}

absl::Status LateError(absl::Duration wait, absl::Duration remaining, absl::Duration retry_after) {
  const auto text = [](absl::Duration duration) {
    return absl::FormatDuration(absl::Trunc(duration, absl::Milliseconds(1)));
  };
  return MakeError(
      absl::StatusCode::kResourceExhausted,
      absl::StrCat("an answer would take about ", text(wait), ", and the deadline leaves ",
                   text(std::max(remaining, absl::ZeroDuration())),
                   "; the image was not inspected"),
      {.reason = reason::kDeadlineUnattainable, .retry_after = retry_after});
}

}  // namespace

void DrainEstimate::Ended(absl::Time admitted, absl::Time now) {
  // The time without images in flight is no processing time.
  const absl::Duration interval =
      std::max(now - std::max(last_end_, admitted), absl::ZeroDuration());
  // The plain mean at first.
  const double weight = std::max(kSmoothing, 1.0 / static_cast<double>(++ended_));
  const absl::Duration before = interval_.value_or(absl::ZeroDuration());
  interval_ = before + weight * (interval - before);
  last_end_ = now;
}

absl::Duration DrainEstimate::For(int64_t in_flight) const {
  if (!interval_) return absl::Seconds(1);
  return std::clamp(*interval_ * in_flight, absl::Milliseconds(10), absl::Seconds(30));
}

Admission::Ticket::Ticket(Ticket&& other) noexcept { *this = std::move(other); }

Admission::Ticket& Admission::Ticket::operator=(Ticket&& other) noexcept {
  if (this != &other) {
    Release();
    admission_ = std::exchange(other.admission_, nullptr);
    entry_ = other.entry_;
  }
  return *this;
}

void Admission::Ticket::Release(Ending ending) {
  if (admission_ == nullptr) return;
  std::exchange(admission_, nullptr)->Release(entry_, ending);
}

Admission::Admission(const Options& options, Metrics& metrics, Clock clock)
    : options_(options), metrics_(metrics), clock_(std::move(clock)) {
  metrics_.inflight_limit.Set(static_cast<double>(options.max_images));
  metrics_.inflight_bytes_limit.Set(static_cast<double>(options.max_bytes));
}

absl::StatusOr<Admission::Ticket> Admission::Admit(int64_t bytes, absl::Time deadline) {
  Ticket::Entry entry{.bytes = bytes, .admitted = clock_()};
  prometheus::Counter* rejected = nullptr;
  absl::Status error;
  {
    MutexLock lock(mutex_);
    if (stopped_) {
      rejected = &metrics_.rejected.draining;
      error = MakeError(absl::StatusCode::kUnavailable, "the server is shutting down; try another",
                        {.reason = reason::kDraining, .retry_after = absl::ZeroDuration()});
    } else if (in_flight_ >= options_.max_images) {
      rejected = &metrics_.rejected.queue_full;
      error = FullError(reason::kQueueFull,
                        absl::StrCat(in_flight_, " images are in flight, the limit"),
                        options_.max_images, drain_.For(in_flight_));
    } else if (bytes > options_.max_bytes - bytes_) {
      rejected = &metrics_.rejected.bytes_full;
      error = FullError(reason::kBytesFull,
                        absl::StrCat(bytes_, " bytes of images are in flight and ", bytes,
                                     " more would exceed the limit of ", options_.max_bytes),
                        options_.max_bytes, drain_.For(in_flight_));
    } else if (const std::optional<absl::Duration> wait = Wait();
               wait && entry.admitted + *wait > deadline) {
      rejected = &metrics_.rejected.deadline_unattainable;
      error = LateError(*wait, deadline - entry.admitted, drain_.For(in_flight_));
    } else {
      entry.ahead = in_flight_++;
      bytes_ += bytes;
      metrics_.inflight.Set(static_cast<double>(in_flight_));
      metrics_.inflight_bytes.Set(static_cast<double>(bytes_));
    }
  }
  if (rejected == nullptr) return Ticket(this, entry);
  rejected->Increment();
  return error;
}

void Admission::Release(const Ticket::Entry& entry, Ending ending) {
  const absl::Time now = clock_();
  MutexLock lock(mutex_);
  if (ending == Ending::kInspected) {
    drain_.Ended(entry.admitted, now);
    sojourn_.Answered(entry.ahead, now - entry.admitted);
  } else if (ending == Ending::kExpired) {
    sojourn_.GivenUp(entry.ahead, now - entry.admitted);
  }
  --in_flight_;
  bytes_ -= entry.bytes;
  metrics_.inflight.Set(static_cast<double>(in_flight_));
  metrics_.inflight_bytes.Set(static_cast<double>(bytes_));
  // Under the lock: a woken waiter may destroy this object at once.
  if (in_flight_ == 0) idle_.NotifyAll();
}

std::optional<absl::Duration> Admission::Wait() const {
  if (in_flight_ < options_.at_once) return std::nullopt;
  return sojourn_.AtMost(in_flight_);
}

absl::Duration Admission::drain_time() const {
  MutexLock lock(mutex_);
  return drain_.For(in_flight_);
}

void Admission::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
}

bool Admission::AwaitIdle(absl::Time deadline) {
  MutexLock lock(mutex_);
  while (in_flight_ > 0) {
    if (!idle_.WaitUntil(mutex_, deadline)) return in_flight_ == 0;
  }
  return true;
}

int64_t Admission::in_flight() const {
  MutexLock lock(mutex_);
  return in_flight_;
}

int64_t Admission::bytes() const {
  MutexLock lock(mutex_);
  return bytes_;
}

}  // namespace proad::server
