#include "server/batching/inference_task.h"

#include "absl/strings/str_cat.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

bool IsCancelled(const CancelFlag& cancelled) { return cancelled != nullptr && cancelled->load(); }

}  // namespace

bool IsUnwanted(absl::Time deadline, const CancelFlag& cancelled, absl::Time now) {
  return now >= deadline || IsCancelled(cancelled);
}

absl::Status DropUnwanted(const CancelFlag& cancelled, absl::string_view stage, Metrics& metrics) {
  if (IsCancelled(cancelled)) {
    metrics.rejected.cancelled.Increment();
    return MakeError(absl::StatusCode::kCancelled,
                     absl::StrCat("the client went away while the image waited for ", stage,
                                  "; it was not inspected"),
                     {.reason = reason::kCancelled});
  }
  metrics.rejected.deadline_expired.Increment();
  return MakeError(absl::StatusCode::kDeadlineExceeded,
                   absl::StrCat("the deadline passed while the image waited for ", stage,
                                "; it was not inspected"),
                   {.reason = reason::kDeadlineExpired});
}

}  // namespace proad::server
