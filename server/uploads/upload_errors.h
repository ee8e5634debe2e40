// Errors of uploads. Pure functions: safe to call from any thread.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/util/status_details.h"

namespace proad::server {

// An error about a field of a request. The message begins with the field.
inline absl::Status FieldError(absl::StatusCode code, const std::string& reason,
                               const std::string& field, const std::string& message) {
  return MakeError(code, absl::StrCat(field, ": ", message), {.reason = reason, .field = field});
}

inline absl::Status InvalidField(const std::string& reason, const std::string& field,
                                 const std::string& message) {
  return FieldError(absl::StatusCode::kInvalidArgument, reason, field, message);
}

inline absl::Status LimitExceeded(const std::string& reason, const std::string& message) {
  return MakeError(absl::StatusCode::kResourceExhausted, message, {.reason = reason});
}

}  // namespace proad::server
