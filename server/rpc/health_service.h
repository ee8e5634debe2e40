// The standard health service, grpc.health.v1.Health.
//
// gRPC's own implementation exists only once the port is open, and then answers SERVING for ""
// until it is told otherwise. This one can be set before the port opens.
#pragma once

#include <google/protobuf/wrappers.pb.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/status.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "server/util/mutex.h"

namespace proad::server {

// Check answers NOT_FOUND for a service that the constructor was not given; Watch answers
// SERVICE_UNKNOWN. "" is the whole server.
//
// Thread-safety: all methods may be called from any thread. It must outlive the gRPC server that it
// is registered with.
class HealthService : public grpc::Service {
 public:
  // `services` and "" are NOT_SERVING until SetServing.
  explicit HealthService(const std::vector<std::string>& services);

  // Sets the status of "" or of a service that the constructor was given, and sends it to watches.
  void SetServing(const std::string& service, bool serving);

  // Sets every service to NOT_SERVING. Later calls of SetServing have no effect.
  void Shutdown();

  // Ends every watch, those that begin later too, with UNAVAILABLE: an open call would delay the
  // shutdown of the gRPC server.
  void EndWatches();

 private:
  // On the wire HealthCheckRequest {string service = 1} is a StringValue, and HealthCheckResponse
  // {ServingStatus status = 1} an Int32Value.
  using Request = google::protobuf::StringValue;
  using Response = google::protobuf::Int32Value;
  class Watch;

  enum Status { kServing = 1, kNotServing = 2, kServiceUnknown = 3 };  // ServingStatus

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context, const Request* request,
                                  Response* response);
  void Set(const std::string& service, Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Also guards the state of the watches, which start their writes under it; gRPC calls no reaction
  // from within.
  Mutex mutex_;
  std::map<std::string, Status> statuses_ ABSL_GUARDED_BY(mutex_);
  std::set<Watch*> watches_ ABSL_GUARDED_BY(mutex_);  // each deletes itself
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  bool watches_ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace proad::server
