#include "client/detect_stream.h"

#include <utility>

#include "client/error.h"

namespace proad::client {

DetectStream::DetectStream(std::shared_ptr<proad::v1::DetectionService::Stub> stub,
                           int64_t max_request_bytes)
    : stub_(std::move(stub)),
      max_request_bytes_(max_request_bytes),
      stream_(stub_->DetectStream(&context_)) {}

DetectStream::~DetectStream() {
  if (ended_) return;
  Cancel();
  while (Receive()) {
  }
}

absl::Status DetectStream::Send(proad::v1::DetectRequest request) {
  const absl::Status size = CheckRequestSize(request, max_request_bytes_);
  if (!size.ok()) return size;
  proad::v1::DetectStreamRequest message;
  *message.mutable_request() = std::move(request);
  if (stream_->Write(message)) return absl::OkStatus();
  return absl::UnavailableError("the stream has ended; the image was not sent");
}

void DetectStream::CloseSending() { stream_->WritesDone(); }

std::optional<StreamAnswer> DetectStream::Receive() {
  if (ended_) return std::nullopt;
  proad::v1::DetectStreamResponse response;
  if (!stream_->Read(&response)) {
    ended_ = true;
    status_ = ToStatus(stream_->Finish(), context_);
    return std::nullopt;
  }
  StreamAnswer answer{response.request_id(), absl::InternalError("")};
  if (response.has_detection()) {
    answer.detection = std::move(*response.mutable_detection());
  } else if (response.has_error()) {
    answer.detection = ToStatus(response.error());
  } else {
    answer.detection = absl::InternalError(
        "the response holds neither a detection nor an error that this client knows");
  }
  return answer;
}

void DetectStream::Cancel() { context_.TryCancel(); }

}  // namespace proad::client
