// What the simple calls have in common: answered on a thread of our own, counted, with rich errors.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "server/rpc/status.h"
#include "server/telemetry/metrics.h"
#include "server/util/thread_pool.h"

namespace proad::server {

// Runs `work` on `pool` and ends the call with its status. When the pool is full the call ends with
// RESOURCE_EXHAUSTED at once. What `work` refers to must live until the call's end.
grpc::ServerUnaryReactor* AnswerOnPool(grpc::CallbackServerContext& context, ThreadPool& pool,
                                       RpcMetrics& metrics,
                                       absl::AnyInvocable<absl::Status() &&> work);

// A call that this server does not offer yet: its name, and what to do instead.
class UnofferedRpc {
 public:
  // `instead` completes "NAME is not available in this version of the server: ".
  UnofferedRpc(Metrics& metrics, std::string name, std::string instead);

  // Counts a call and says UNIMPLEMENTED.
  grpc::Status Refuse();
  grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext& context);

 private:
  const absl::Status status_;
  RpcMetrics metrics_;
};

}  // namespace proad::server
