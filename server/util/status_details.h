// What a status says besides its code and message: the field at fault, a stable reason, when to try
// again.
//
// Carried as payloads of absl::Status, so that nothing below server/rpc knows of gRPC or protobuf;
// server/rpc/status turns them into the details of a google.rpc.Status. Pure functions: safe to
// call from any thread.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace proad::server {

struct StatusDetails {
  // UPPER_SNAKE_CASE, stable, for machines: IMAGE_TOO_LARGE, QUEUE_FULL.
  std::string reason;
  // Path of the request's field at fault, for example "frame.stride"; "" when the request is not at
  // fault.
  std::string field;
  // The same call may succeed after this long; nullopt: nothing is known.
  std::optional<absl::Duration> retry_after;
  // Limits and known names, for machines: {"max_bytes", "33554432"}.
  std::map<std::string, std::string> metadata;
};

// An error with its details. `code` must not be kOk.
absl::Status MakeError(absl::StatusCode code, absl::string_view message,
                       const StatusDetails& details);

// What MakeError put in; all empty for a status that has no details.
StatusDetails GetDetails(const absl::Status& status);

}  // namespace proad::server
