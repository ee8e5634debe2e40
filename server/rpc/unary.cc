#include "server/rpc/unary.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {

grpc::ServerUnaryReactor* AnswerOnPool(grpc::CallbackServerContext& context, ThreadPool& pool,
                                       RpcGuard& guard, absl::AnyInvocable<absl::Status() &&> work,
                                       Role needed) {
  if (const auto caller = guard.Admit(context, needed); !caller.ok()) {
    return new RefusedCall<grpc::ServerUnaryReactor>(caller.status());
  }
  return AnswerAdmitted(context, pool, guard.metrics(), std::move(work));
}

grpc::ServerUnaryReactor* AnswerAdmitted(grpc::CallbackServerContext& context, ThreadPool& pool,
                                         RpcMetrics& metrics,
                                         absl::AnyInvocable<absl::Status() &&> work) {
  grpc::ServerUnaryReactor* const reactor = context.DefaultReactor();
  const absl::Time start = absl::Now();
  const auto finish = [&context, &metrics, reactor, start](const absl::Status& status) {
    metrics.Answered(status.code(), absl::Now() - start);
    reactor->Finish(FinishStatus(status, context));
  };
  const bool posted =
      pool.TryPost([finish, work = std::move(work)]() mutable { finish(std::move(work)()); });
  if (!posted) {
    finish(MakeError(absl::StatusCode::kResourceExhausted,
                     "too many calls of this kind are waiting; try again in a second",
                     {.reason = reason::kQueueFull, .retry_after = absl::Seconds(1)}));
  }
  return reactor;
}

grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext& context, RpcMetrics& metrics,
                                 const absl::Status& why) {
  grpc::ServerUnaryReactor* const reactor = context.DefaultReactor();
  metrics.Answered(why.code(), absl::ZeroDuration());
  reactor->Finish(FinishStatus(why, context));
  return reactor;
}

}  // namespace proad::server
