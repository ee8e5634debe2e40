#include "client/request_size.h"

#include "absl/strings/str_cat.h"
#include "client/error.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "proad/v1/detection.pb.h"

namespace proad::client {
namespace {

// Bytes of a DetectStreamRequest around its DetectRequest, at most.
constexpr int64_t kEnvelope = 16;

}  // namespace

absl::Status CheckRequestSize(const proad::v1::DetectRequest& request, int64_t max_bytes) {
  const auto bytes = static_cast<int64_t>(request.ByteSizeLong()) + kEnvelope;
  if (bytes <= max_bytes) return absl::OkStatus();
  google::rpc::ErrorInfo info;
  info.set_domain("proad");
  info.set_reason("MESSAGE_TOO_LARGE");
  (*info.mutable_metadata())["max_bytes"] = absl::StrCat(max_bytes);
  google::rpc::Status status;
  status.set_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
  status.set_message(absl::StrCat(
      "the request has ", bytes, " bytes and was not sent; the limit is ", max_bytes,
      " bytes (max_request_bytes of this client, server.max_message_bytes of the server)"));
  status.add_details()->PackFrom(info);
  return ToStatus(status);
}

}  // namespace proad::client
