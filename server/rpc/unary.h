// Unary calls that are answered on a thread pool, counted, with error details.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "server/rpc/auth.h"
#include "server/rpc/status.h"
#include "server/telemetry/metrics.h"
#include "server/util/thread_pool.h"

namespace proad::server {

// Runs `work` on `pool` and ends the call, which the guard has admitted, with its status. When the
// pool is full, ends the call with RESOURCE_EXHAUSTED at once. The objects that `work` refers to
// must live until the end of the call.
grpc::ServerUnaryReactor* AnswerAdmitted(grpc::CallbackServerContext& context, ThreadPool& pool,
                                         RpcMetrics& metrics,
                                         absl::AnyInvocable<absl::Status() &&> work);

// Asks `guard` to admit the call. Ends the call with its error, or continues with AnswerAdmitted.
// `needed`: a role that this call takes beside that of its RPC.
grpc::ServerUnaryReactor* AnswerOnPool(grpc::CallbackServerContext& context, ThreadPool& pool,
                                       RpcGuard& guard, absl::AnyInvocable<absl::Status() &&> work,
                                       Role needed = Role::kNone);

// A call that ends with an error before a message is read. Deletes itself when gRPC has released
// it.
template <typename Reactor>
class RefusedCall final : public Reactor {
 public:
  explicit RefusedCall(const absl::Status& why) { this->Finish(ToGrpcStatus(why)); }
  void OnDone() override { delete this; }
};

// Ends the call with an error at once and counts it.
grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext& context, RpcMetrics& metrics,
                                 const absl::Status& why);

}  // namespace proad::server
