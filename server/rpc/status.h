// Converts absl::Status to gRPC. Every error that the server sends passes these functions.
//
// Safe to call from any thread. ToRpcStatus and ToGrpcStatus are pure.
#pragma once

#include <google/rpc/status.pb.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace proad::server {

// The trailer in which gRPC clients look for the time to wait before a retry, in milliseconds.
inline constexpr char kPushbackTrailer[] = "grpc-retry-pushback-ms";

// Adds the details (server/util/status_details.h) as google.rpc messages: ErrorInfo with the domain
// "proad" and the reason, or the name of the code when the status has no reason; BadRequest when a
// field is at fault; RetryInfo when the status has a retry delay.
google::rpc::Status ToRpcStatus(const absl::Status& status);

// ToRpcStatus in the "grpc-status-details-bin" trailer. OK for an OK status.
grpc::Status ToGrpcStatus(const absl::Status& status);

// ToGrpcStatus for the end of a call. Adds the pushback trailer when RESOURCE_EXHAUSTED has a retry
// delay. Call it once, before Finish.
grpc::Status FinishStatus(const absl::Status& status, grpc::ServerContextBase& context);

}  // namespace proad::server
