#include "server/rpc/detection_service.h"

#include <chrono>
#include <utility>
#include <vector>

#include "server/rpc/status.h"
#include "server/rpc/unary.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

using Reactor = grpc::ServerBidiReactor<v1::DetectStreamRequest, v1::DetectStreamResponse>;

const char* const kService = v1::DetectionService::service_full_name();

absl::Time DeadlineOf(const grpc::CallbackServerContext& context) {
  const std::chrono::system_clock::time_point deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteFuture();
  return absl::FromChrono(deadline);
}

// One Detect call. Deletes itself when gRPC has released it, which is after the answer called
// Finish.
class DetectCall : public grpc::ServerUnaryReactor {
 public:
  DetectCall(Inspector& inspector, grpc::CallbackServerContext& context)
      : inspector_(inspector), context_(context) {}

  void Start(const v1::DetectRequest& request, v1::DetectResponse& response) {
    inspector_.Inspect(request, DeadlineOf(context_), cancelled_, response,
                       [this](const absl::Status& status, OutputBudget::Reservation output) {
                         output_ = std::move(output);
                         Finish(FinishStatus(status, context_));
                       });
  }

  void OnCancel() override {
    cancelled_->store(true);
    inspector_.detector().AnswerCancelled();
  }
  void OnDone() override { delete this; }

 private:
  Inspector& inspector_;
  grpc::CallbackServerContext& context_;
  const CancelFlag cancelled_ = std::make_shared<std::atomic<bool>>(false);
  OutputBudget::Reservation output_;  // of the response, until gRPC has written it
};

}  // namespace

DetectionService::DetectionService(const Options& options, Detector& detector,
                                   Authorizer& authorizer, Metrics& metrics)
    : options_(options),
      detector_(detector),
      metrics_(metrics),
      detect_guard_(authorizer, metrics, kService, "Detect"),
      stream_guard_(authorizer, metrics, kService, "DetectStream"),
      unary_("Detect", detector, metrics),
      streamed_("DetectStream", detector, metrics) {}

grpc::ServerUnaryReactor* DetectionService::Detect(grpc::CallbackServerContext* context,
                                                   const v1::DetectRequest* request,
                                                   v1::DetectResponse* response) {
  if (const auto caller = detect_guard_.Admit(*context); !caller.ok()) {
    return new RefusedCall<grpc::ServerUnaryReactor>(caller.status());
  }
  auto* call = new DetectCall(unary_, *context);
  call->Start(*request, *response);
  return call;
}

grpc::ServerBidiReactor<v1::DetectStreamRequest, v1::DetectStreamResponse>*
DetectionService::DetectStream(grpc::CallbackServerContext* context) {
  const absl::StatusOr<Caller> caller = stream_guard_.Admit(*context);
  if (!caller.ok()) return new RefusedCall<Reactor>(caller.status());
  const auto stream = std::make_shared<Stream>(
      streamed_, options_.stream_window, detector_.options().default_deadline, DeadlineOf(*context),
      [this, caller = *caller] { return stream_guard_.StillAllowed(caller); },
      [this](Stream* ended) { Forget(ended); });
  bool draining = false;
  {
    MutexLock lock(mutex_);
    draining = draining_;
    streams_[stream.get()] = stream;
    metrics_.streams.Set(static_cast<double>(streams_.size()));
  }
  if (draining) {
    stream->Refuse(MakeError(absl::StatusCode::kUnavailable,
                             "the server is shutting down; send the call to another server",
                             {.reason = reason::kDraining, .retry_after = absl::ZeroDuration()}));
  } else {
    stream->Start();
  }
  return stream.get();
}

void DetectionService::Drain() {
  detector_.Drain();
  std::vector<std::shared_ptr<Stream>> streams;
  {
    MutexLock lock(mutex_);
    draining_ = true;
    for (const auto& [key, stream] : streams_) streams.push_back(stream);
  }
  for (const auto& stream : streams) stream->Drain();
}

void DetectionService::Forget(Stream* stream) {
  std::shared_ptr<Stream> last;
  MutexLock lock(mutex_);
  const auto found = streams_.find(stream);
  last = std::move(found->second);
  streams_.erase(found);
  metrics_.streams.Set(static_cast<double>(streams_.size()));
}

}  // namespace proad::server
