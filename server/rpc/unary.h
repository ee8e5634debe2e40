// What the simple calls have in common: answered on a thread of our own, counted, with rich errors.
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

// Runs `work` on `pool` and ends the call, which was admitted, with its status; when the pool is
// full, with RESOURCE_EXHAUSTED at once. What `work` refers to must live until the call's end.
grpc::ServerUnaryReactor* AnswerAdmitted(grpc::CallbackServerContext& context, ThreadPool& pool,
                                         RpcMetrics& metrics,
                                         absl::AnyInvocable<absl::Status() &&> work);

// Ends a call that its guard does not admit, as Authorizer::Admit says, and answers any other by
// AnswerAdmitted. `needed`: what this call takes beyond what its RPC does.
grpc::ServerUnaryReactor* AnswerOnPool(grpc::CallbackServerContext& context, ThreadPool& pool,
                                       RpcGuard& guard, absl::AnyInvocable<absl::Status() &&> work,
                                       Role needed = Role::kNone);

// A call that ends before anything of it was read. Deletes itself when gRPC is through with it.
template <typename Reactor>
class RefusedCall final : public Reactor {
 public:
  explicit RefusedCall(const absl::Status& why) { this->Finish(ToGrpcStatus(why)); }
  void OnDone() override { delete this; }
};

// Ends the call with an error at once, counted.
grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext& context, RpcMetrics& metrics,
                                 const absl::Status& why);

}  // namespace proad::server
