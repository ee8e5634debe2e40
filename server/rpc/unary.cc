#include "server/rpc/unary.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/util/status_details.h"

namespace proad::server {

grpc::ServerUnaryReactor* AnswerOnPool(grpc::CallbackServerContext& context, ThreadPool& pool,
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
                     "too many calls of this kind wait already; try again in a second",
                     {.reason = "QUEUE_FULL", .retry_after = absl::Seconds(1)}));
  }
  return reactor;
}

UnofferedRpc::UnofferedRpc(Metrics& metrics, std::string name, std::string instead)
    : status_(MakeError(
          absl::StatusCode::kUnimplemented,
          absl::StrCat(name, " is not available in this version of the server: ", instead),
          {.reason = "NOT_OFFERED"})),
      metrics_(metrics, std::move(name)) {}

grpc::Status UnofferedRpc::Refuse() {
  metrics_.Answered(status_.code(), absl::ZeroDuration());
  return ToGrpcStatus(status_);
}

grpc::ServerUnaryReactor* UnofferedRpc::Refuse(grpc::CallbackServerContext& context) {
  grpc::ServerUnaryReactor* const reactor = context.DefaultReactor();
  reactor->Finish(Refuse());
  return reactor;
}

}  // namespace proad::server
