#include "server/trainer/job_error.h"

#include <string>

#include "model/network/torch_failure.h"
#include "server/util/exception_status.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

JobError JobErrorOf(const TranslatedException& error) {
  const std::string message(error.status.message());
  switch (error.kind) {
    case ExceptionKind::kInvalidInput:
      return {reason::kInvalidSpec, GetDetails(error.status).field, message};
    case ExceptionKind::kInvalidImage:
      return {reason::kUnreadableImage, "", message};
    case ExceptionKind::kDatasetChanged:
      return {reason::kDatasetChanged, "", message};
    case ExceptionKind::kNonFiniteLoss:
      return {reason::kNonFiniteLoss, "", message};
    case ExceptionKind::kCorruptFile:
      return {reason::kDataLoss, "", message};
    case ExceptionKind::kDiskFull:
      return {reason::kDiskFull, "", message};
    case ExceptionKind::kOutOfMemory:
      return {reason::kOutOfMemory, "", message};
    case ExceptionKind::kNonFiniteScore:
    case ExceptionKind::kFile:
    case ExceptionKind::kUnknown:
      break;
  }
  return {reason::kInternal, "", message};
}

}  // namespace

JobError JobErrorOf(const absl::Status& status) {
  const std::string message(status.message());
  if (absl::IsDataLoss(status)) return {reason::kDataLoss, "", message};
  // DISK_FULL or OUT_OF_MEMORY: the words are the same for a job.
  const std::string known = GetDetails(status).reason;
  if (absl::IsResourceExhausted(status) && !known.empty()) return {known, "", message};
  return {reason::kInternal, "", message};
}

JobError JobErrorOfCurrentException() {
  const model::TorchFailure failure = model::ClassifyTorchException();
  switch (failure.kind) {
    case model::TorchFailureKind::kNone:
      return JobErrorOf(TranslateCurrentException());
    case model::TorchFailureKind::kOutOfMemory:
      return {reason::kOutOfMemory, "", failure.message};
    case model::TorchFailureKind::kDeviceLost:
    case model::TorchFailureKind::kFailed:
      break;
  }
  return {reason::kInternal, "", failure.message};
}

}  // namespace proad::server
