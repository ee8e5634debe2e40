#include "client/error.h"

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"

namespace proad::client {
namespace {

constexpr char kPayload[] = "type.googleapis.com/google.rpc.Status";
constexpr char kPushbackTrailer[] = "grpc-retry-pushback-ms";
constexpr int kHighestCode = 16;  // UNAUTHENTICATED

absl::StatusCode ToCode(int code) {
  if (code < 0 || code > kHighestCode) return absl::StatusCode::kUnknown;
  return static_cast<absl::StatusCode>(code);
}

// HTTP/2 error ENHANCE_YOUR_CALM. gRPC ends calls with it when the connections of the server use too
// much memory; it can hit any call, not only those that use much memory.
constexpr char kOutOfMemoryReset[] = "RST_STREAM with error code 11";

bool HasRetryInfo(const google::rpc::Status& status) {
  for (const auto& detail : status.details()) {
    if (detail.Is<google::rpc::RetryInfo>()) return true;
  }
  return false;
}

void AddRetryInfo(absl::Duration delay, google::rpc::Status& status) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(delay / absl::Seconds(1));
  retry.mutable_retry_delay()->set_nanos(
      static_cast<int32_t>(delay % absl::Seconds(1) / absl::Nanoseconds(1)));
  status.add_details()->PackFrom(retry);
}

void AddPushback(const grpc::ClientContext& context, google::rpc::Status& status) {
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto found = trailers.find(kPushbackTrailer);
  if (found == trailers.end() || HasRetryInfo(status)) return;
  int64_t milliseconds = 0;
  // A negative value means "do not retry", as a missing RetryInfo does.
  if (!absl::SimpleAtoi(absl::string_view(found->second.data(), found->second.size()),
                        &milliseconds) ||
      milliseconds < 0) {
    return;
  }
  AddRetryInfo(absl::Milliseconds(milliseconds), status);
}

}  // namespace

absl::Status ToStatus(const grpc::Status& status, const grpc::ClientContext& context) {
  if (status.ok()) return absl::OkStatus();
  google::rpc::Status details;
  // Without valid details, code and message still describe the error.
  if (!details.ParseFromString(status.error_details())) details.Clear();
  AddPushback(context, details);
  if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED && details.details().empty() &&
      absl::StrContains(status.error_message(), kOutOfMemoryReset)) {
    AddRetryInfo(absl::ZeroDuration(), details);
  }
  absl::Status result(ToCode(status.error_code()), status.error_message());
  result.SetPayload(kPayload, absl::Cord(details.SerializeAsString()));
  return result;
}

absl::Status ToStatus(const google::rpc::Status& status) {
  if (status.code() == 0) {
    return absl::InternalError(
        absl::StrCat("the server sent an error with the code OK: ", status.message()));
  }
  absl::Status result(ToCode(status.code()), status.message());
  result.SetPayload(kPayload, absl::Cord(status.SerializeAsString()));
  return result;
}

ErrorDetails DetailsOf(const absl::Status& status) {
  ErrorDetails result;
  const auto payload = status.GetPayload(kPayload);
  google::rpc::Status details;
  if (!payload.has_value() || !details.ParseFromString(std::string(*payload))) return result;
  for (const auto& detail : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad_request;
    google::rpc::RetryInfo retry;
    if (detail.UnpackTo(&info)) {
      result.reason = info.reason();
      result.metadata.insert(info.metadata().begin(), info.metadata().end());
    } else if (detail.UnpackTo(&bad_request)) {
      for (const auto& violation : bad_request.field_violations()) {
        result.fields.push_back({violation.field(), violation.description()});
      }
    } else if (detail.UnpackTo(&retry)) {
      result.retry_after = absl::Seconds(retry.retry_delay().seconds()) +
                           absl::Nanoseconds(retry.retry_delay().nanos());
    }
  }
  return result;
}

std::string Describe(const absl::Status& status) {
  const std::string message(status.message());
  std::string text = absl::StrCat(absl::StatusCodeToString(status.code()), ": ");
  const ErrorDetails details = DetailsOf(status);
  for (const FieldViolation& violation : details.fields) {
    if (!absl::StrContains(message, violation.field)) absl::StrAppend(&text, violation.field, ": ");
  }
  absl::StrAppend(&text, message);
  return text;
}

}  // namespace proad::client
