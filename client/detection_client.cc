#include "client/detection_client.h"

namespace proad::client {

DetectionClient::DetectionClient(const ChannelOptions& channel, CallOptions call)
    : DetectionClient(Connect(channel), call) {}

DetectionClient::DetectionClient(const std::shared_ptr<grpc::Channel>& channel, CallOptions call)
    : stub_(proad::v1::DetectionService::NewStub(channel)), call_(call) {}

absl::StatusOr<proad::v1::DetectResponse> DetectionClient::Detect(
    const proad::v1::DetectRequest& request) const {
  return Detect(request, call_);
}

absl::StatusOr<proad::v1::DetectResponse> DetectionClient::Detect(
    const proad::v1::DetectRequest& request, const CallOptions& call) const {
  const absl::Status size = CheckRequestSize(request, call.max_request_bytes);
  if (!size.ok()) return size;
  proad::v1::DetectResponse response;
  const absl::Status status = CallWithRetry(call, [&](grpc::ClientContext& context) {
    return stub_->Detect(&context, request, &response);
  });
  if (!status.ok()) return status;
  return response;
}

std::unique_ptr<DetectStream> DetectionClient::OpenStream() const {
  return std::make_unique<DetectStream>(stub_, call_.max_request_bytes);
}

}  // namespace proad::client
