#include "tests/support/scripted_error.h"

#include "google/rpc/error_details.pb.h"

namespace proad::testing {

google::rpc::Status MakeError(grpc::StatusCode code, const std::string& message,
                              const std::string& reason, const std::string& field) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  if (!reason.empty()) {
    google::rpc::ErrorInfo info;
    info.set_domain("proad");
    info.set_reason(reason);
    status.add_details()->PackFrom(info);
  }
  if (!field.empty()) {
    google::rpc::BadRequest bad;
    auto* violation = bad.add_field_violations();
    violation->set_field(field);
    violation->set_description(message);
    status.add_details()->PackFrom(bad);
  }
  return status;
}

grpc::Status ToGrpc(const google::rpc::Status& status) {
  if (status.code() == 0) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), status.message(),
                      status.SerializeAsString());
}

}  // namespace proad::testing
