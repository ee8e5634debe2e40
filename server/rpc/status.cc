#include "server/rpc/status.h"

#include <google/rpc/error_details.pb.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/rpc/proto_time.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr char kDomain[] = "proad";
// A response carries the message up to three times, partly in base64. By default clients refuse
// trailers of more than 8 KiB, and then the status is lost.
constexpr size_t kMaxMessage = 1024;

std::string Message(const absl::Status& status) {
  const absl::string_view message = status.message();
  size_t end = std::min(message.size(), kMaxMessage);
  // Never within a character: strings of protobuf are UTF-8.
  while (end > 0 && end < message.size() && (message[end] & 0xC0) == 0x80) --end;
  return std::string(message.substr(0, end));
}

}  // namespace

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status rpc;
  rpc.set_code(static_cast<int>(status.code()));
  rpc.set_message(Message(status));
  if (status.ok()) return rpc;

  const StatusDetails details = GetDetails(status);
  google::rpc::ErrorInfo info;
  info.set_domain(kDomain);
  info.set_reason(details.reason.empty() ? absl::StatusCodeToString(status.code())
                                         : details.reason);
  for (const auto& [key, value] : details.metadata) (*info.mutable_metadata())[key] = value;
  rpc.add_details()->PackFrom(info);
  if (!details.field.empty()) {
    google::rpc::BadRequest bad;
    auto* violation = bad.add_field_violations();
    violation->set_field(details.field);
    violation->set_description(Message(status));
    rpc.add_details()->PackFrom(bad);
  }
  if (details.retry_after) {
    google::rpc::RetryInfo retry;
    *retry.mutable_retry_delay() = ToProtoDuration(*details.retry_after);
    rpc.add_details()->PackFrom(retry);
  }
  return rpc;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), Message(status),
                      ToRpcStatus(status).SerializeAsString());
}

grpc::Status FinishStatus(const absl::Status& status, grpc::ServerContextBase& context) {
  if (absl::IsResourceExhausted(status)) {
    if (const StatusDetails details = GetDetails(status); details.retry_after) {
      const absl::Duration wait =
          absl::Ceil(std::max(*details.retry_after, absl::ZeroDuration()), absl::Milliseconds(1));
      context.AddTrailingMetadata(kPushbackTrailer, absl::StrCat(absl::ToInt64Milliseconds(wait)));
    }
  }
  return ToGrpcStatus(status);
}

}  // namespace proad::server
