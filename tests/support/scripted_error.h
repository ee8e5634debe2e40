// Errors as the server makes them, for scripted services.
#pragma once

#include <string>

#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"

namespace proad::testing {

// With an ErrorInfo unless `reason` is empty, and a BadRequest unless `field` is.
google::rpc::Status MakeError(grpc::StatusCode code, const std::string& message,
                              const std::string& reason = "", const std::string& field = "");

// With all its details.
grpc::Status ToGrpc(const google::rpc::Status& status);

}  // namespace proad::testing
