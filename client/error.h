// What a server says about an error besides code and message.
//
// Every error of this library is an absl::Status that carries the server's google.rpc.Status as a
// payload; DetailsOf reads it. Pure functions: safe to call from any thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/status.h"

namespace proad::client {

// One field of the request that the server found at fault.
struct FieldViolation {
  std::string field;        // path in the request, for example "frame.stride"
  std::string description;  // what was wrong with it and what would be right
};

struct ErrorDetails {
  // Stable, for machines, for example "QUEUE_FULL". "": the error did not come from the service
  // itself but from the connection or from this side.
  std::string reason;
  std::vector<FieldViolation> fields;
  // The same call may succeed after this long; nullopt: the server said nothing.
  std::optional<absl::Duration> retry_after;
  // Limits and known names.
  std::map<std::string, std::string> metadata;
};

// The error that a call ended with; `context` is the finished call's. A trailer
// "grpc-retry-pushback-ms" stands in for a RetryInfo that is not there, and a call that gRPC ended
// because the server's connections take too much memory may be made again at once. OK stays OK.
absl::Status ToStatus(const grpc::Status& status, const grpc::ClientContext& context);

// The error of one image of a stream. A code outside the known ones becomes UNKNOWN; code 0 becomes
// INTERNAL, because an error that says OK must not read as success.
absl::Status ToStatus(const google::rpc::Status& status);

// What ToStatus put in; all empty for a status of another origin.
ErrorDetails DetailsOf(const absl::Status& status);

// "INVALID_ARGUMENT: frame.stride: 10 is less than a row's 30 bytes": one line for people.
std::string Describe(const absl::Status& status);

}  // namespace proad::client
