// absl::Status as gRPC sends it: the only place where errors meet gRPC. Pure functions.
#pragma once

#include <google/rpc/status.pb.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace proad::server {

// Trailer that gRPC clients obey when they retry: milliseconds to wait.
inline constexpr char kPushbackTrailer[] = "grpc-retry-pushback-ms";

// With the details of server/util/status_details.h as google.rpc messages: ErrorInfo (domain
// "proad"; its reason is the code's name when the status has none), BadRequest when a field is at
// fault, RetryInfo when it says when to try again. A code that gRPC does not have becomes UNKNOWN.
google::rpc::Status ToRpcStatus(const absl::Status& status);

// The same in the "grpc-status-details-bin" trailer. OK for an OK status.
grpc::Status ToGrpcStatus(const absl::Status& status);

// ToGrpcStatus for a call: adds the pushback trailer to RESOURCE_EXHAUSTED that says when to try
// again. Call once, before Finish.
grpc::Status FinishStatus(const absl::Status& status, grpc::ServerContextBase& context);

}  // namespace proad::server
