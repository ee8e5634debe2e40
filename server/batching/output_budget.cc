#include "server/batching/output_budget.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {

OutputBudget::Reservation::Reservation(Reservation&& other) noexcept { *this = std::move(other); }

OutputBudget::Reservation& OutputBudget::Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    ShrinkTo(0);
    budget_ = std::exchange(other.budget_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

void OutputBudget::Reservation::ShrinkTo(int64_t bytes) {
  if (bytes >= bytes_) return;
  budget_->Release(bytes_ - bytes);
  bytes_ = bytes;
}

OutputBudget::OutputBudget(const Options& options, Metrics& metrics)
    : options_(options), metrics_(metrics) {
  metrics_.output_bytes_limit.Set(static_cast<double>(options.max_bytes));
}

absl::StatusOr<OutputBudget::Reservation> OutputBudget::Reserve(int64_t bytes,
                                                                absl::Duration retry_after) {
  int64_t reserved = 0;
  {
    MutexLock lock(mutex_);
    reserved = bytes_;
    if (bytes <= options_.max_bytes - bytes_) {
      bytes_ += bytes;
      metrics_.output_bytes.Set(static_cast<double>(bytes_));
      return Reservation(this, bytes);
    }
  }
  metrics_.rejected.output_full.Increment();
  return MakeError(absl::StatusCode::kResourceExhausted,
                   absl::StrCat("the heatmap and overlay of this image need up to ", bytes,
                                " bytes; answers of ", reserved,
                                " bytes are not read yet, and admission.max_output_bytes is ",
                                options_.max_bytes, "; read the answers, or try again later"),
                   {.reason = reason::kOutputFull,
                    .retry_after = retry_after,
                    .metadata = {{"limit", absl::StrCat(options_.max_bytes)}}});
}

int64_t OutputBudget::bytes() const {
  MutexLock lock(mutex_);
  return bytes_;
}

void OutputBudget::Release(int64_t bytes) {
  MutexLock lock(mutex_);
  bytes_ -= bytes;
  metrics_.output_bytes.Set(static_cast<double>(bytes_));
}

}  // namespace proad::server
