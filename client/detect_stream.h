// One DetectStream call: many images in flight, each answered with a detection or an error.
//
// The server stops reading while its window is full; Send then blocks until answers have been taken
// out by Receive. So send and receive from two threads:
//
//   auto stream = client.OpenStream();
//   std::jthread sender([&] {
//     for (auto& request : requests) if (!stream->Send(request).ok()) break;
//     stream->CloseSending();
//   });
//   while (auto answer = stream->Receive()) Use(*answer);
//   absl::Status status = stream->status();
//
// A stream is not retried as a whole: what was sent and not answered when it ends with an error is
// for the caller to send again, which is safe.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/sync_stream.h"
#include "proad/v1/detection.grpc.pb.h"

namespace proad::client {

// The answer to one image.
struct StreamAnswer {
  std::string request_id;
  absl::StatusOr<proad::v1::DetectResponse> detection;
};

// Thread-safe in this way: one thread calls Send and CloseSending, one calls Receive and status,
// Cancel may come from any. Answers may come in another order than the requests.
class DetectStream {
 public:
  explicit DetectStream(std::shared_ptr<proad::v1::DetectionService::Stub> stub);
  // Cancels what is not answered yet. No other call may be in progress.
  ~DetectStream();

  DetectStream(const DetectStream&) = delete;
  DetectStream& operator=(const DetectStream&) = delete;

  // Sends one image; blocks while the server takes no more. request.request_id is how the answer is
  // recognised: set it, and set it apart. UNAVAILABLE when the stream has ended: Receive the rest,
  // then status() says why.
  absl::Status Send(proad::v1::DetectRequest request);

  // Says that no more images come: the stream ends when everything sent has been answered.
  void CloseSending();

  // The next answer; blocks. nullopt: the stream has ended.
  std::optional<StreamAnswer> Receive();

  // How the stream ended, once Receive has returned nullopt. OK: every image that the server read
  // was answered. A server that shuts down ends streams with OK as well: then Send fails, and what
  // it sent last may be unanswered.
  const absl::Status& status() const { return status_; }

  // Gives up what is in flight; Receive then returns nullopt and status() is CANCELLED.
  void Cancel();

 private:
  using Stream =
      grpc::ClientReaderWriter<proad::v1::DetectStreamRequest, proad::v1::DetectStreamResponse>;

  // The stub must outlive the call, which must outlive nothing else.
  const std::shared_ptr<proad::v1::DetectionService::Stub> stub_;
  grpc::ClientContext context_;
  const std::unique_ptr<Stream> stream_;
  bool ended_ = false;  // of the receiving thread
  absl::Status status_;
};

}  // namespace proad::client
