// What the simple calls have in common: answered on a thread of our own, counted, with rich errors.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

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

// Ends the call with an error at once, counted.
grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext& context, RpcMetrics& metrics,
                                 const absl::Status& why);

}  // namespace proad::server
