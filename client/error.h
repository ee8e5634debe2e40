// Errors of calls with the details that the server attaches: reason, field, retry time.
//
// An error of a call is an absl::Status that carries the server's google.rpc.Status as a payload;
// DetailsOf reads it. Pure functions: safe to call from any thread.
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

// One invalid field of a request.
struct FieldViolation {
  std::string field;        // path in the request, for example "frame.stride"
  std::string description;  // the error and the valid values
};

struct ErrorDetails {
  // Stable code, for example "QUEUE_FULL". Empty when the error does not come from the service but
  // from the connection or from this client.
  std::string reason;
  std::vector<FieldViolation> fields;
  // Time after which the same call may succeed. nullopt when the server stated none.
  std::optional<absl::Duration> retry_after;
  // Limits and known names that belong to the error.
  std::map<std::string, std::string> metadata;
};

// Converts the status of a finished call, whose context is `context`. The trailer
// "grpc-retry-pushback-ms" replaces a missing RetryInfo. A call that gRPC ended because the server's
// connections use too much memory gets a retry time of zero. OK stays OK.
absl::Status ToStatus(const grpc::Status& status, const grpc::ClientContext& context);

// Converts the error of one image of a stream. An unknown code becomes UNKNOWN. Code 0 (OK) becomes
// INTERNAL, so that an error is never read as success.
absl::Status ToStatus(const google::rpc::Status& status);

// Returns the details that ToStatus attached. All fields are empty for other statuses.
ErrorDetails DetailsOf(const absl::Status& status);

// Formats a status as one line, for example "INVALID_ARGUMENT: frame.stride: 10 is less than a row's
// 30 bytes".
std::string Describe(const absl::Status& status);

}  // namespace proad::client
