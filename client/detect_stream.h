// One DetectStream call: sends many images without waiting for each answer.
//
// Each image gets one answer, a detection or an error. The server stops reading while its window is
// full; Send then blocks until Receive has taken answers. Therefore send and receive from two
// threads:
//
//   auto stream = client.OpenStream();
//   std::jthread sender([&] {
//     for (auto& request : requests) if (absl::IsUnavailable(stream->Send(request))) break;
//     stream->CloseSending();
//   });
//   while (auto answer = stream->Receive()) Use(*answer);
//   absl::Status status = stream->status();
//
// A stream is never retried. After an error, the caller can send the unanswered images again on a
// new stream: inspecting an image twice does no harm.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/request_size.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/sync_stream.h"
#include "proad/v1/detection.grpc.pb.h"

namespace proad::client {

// The answer to one image.
struct StreamAnswer {
  std::string request_id;
  absl::StatusOr<proad::v1::DetectResponse> detection;
};

// Thread-safety: one thread may call Send and CloseSending while another one calls Receive and
// status. Cancel may be called from any thread. Answers can have another order than the requests.
class DetectStream {
 public:
  explicit DetectStream(std::shared_ptr<proad::v1::DetectionService::Stub> stub,
                        int64_t max_request_bytes = kDefaultMaxRequestBytes);
  // Cancels the unanswered images. No other method may be running.
  ~DetectStream();

  DetectStream(const DetectStream&) = delete;
  DetectStream& operator=(const DetectStream&) = delete;

  // Sends one image. Blocks while the server reads nothing. request.request_id identifies the
  // answer: set it to a value that is unique in the stream.
  //   INVALID_ARGUMENT  the request is too large (request_size.h): it was not sent and gets no
  //                     answer; the stream continues
  //   UNAVAILABLE       the stream has ended: call Receive until it returns nullopt, then status()
  //                     has the error
  absl::Status Send(proad::v1::DetectRequest request);

  // Announces that no more images follow. The stream ends after the last answer.
  void CloseSending();

  // Returns the next answer, or nullopt when the stream has ended. Blocks.
  std::optional<StreamAnswer> Receive();

  // Status of the stream; valid after Receive has returned nullopt. OK: every image that the server
  // read was answered. A server that shuts down also ends the stream with OK; then Send fails, and
  // the last images sent may be unanswered.
  const absl::Status& status() const { return status_; }

  // Cancels the stream. Receive then returns nullopt, and status() is CANCELLED.
  void Cancel();

 private:
  using Stream =
      grpc::ClientReaderWriter<proad::v1::DetectStreamRequest, proad::v1::DetectStreamResponse>;

  // Declared before the call's members because the stub must outlive the call.
  const std::shared_ptr<proad::v1::DetectionService::Stub> stub_;
  const int64_t max_request_bytes_;
  grpc::ClientContext context_;
  const std::unique_ptr<Stream> stream_;
  bool ended_ = false;   // used by the receiving thread only
  absl::Status status_;  // likewise
};

}  // namespace proad::client
