// Inspects images on a server.
//
// Requests and responses are the messages of proto/proad/v1/detection.proto, which documents every
// field.
//
//   proad::client::DetectionClient client({.address = "localhost:50051"});
//   proad::v1::DetectRequest request;
//   request.set_encoded(bytes_of_a_file);
//   absl::StatusOr<proad::v1::DetectResponse> detection = client.Detect(request);
//
// Errors carry the server's details, see client/error.h. An error never carries a verdict.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "client/channel.h"
#include "client/detect_stream.h"
#include "proad/v1/detection.grpc.pb.h"

namespace proad::client {

// Thread-safe: concurrent calls share one channel.
class DetectionClient {
 public:
  explicit DetectionClient(const ChannelOptions& channel, CallOptions call = {});
  // Uses a channel that other clients may share.
  explicit DetectionClient(const std::shared_ptr<grpc::Channel>& channel, CallOptions call = {});

  // Inspects one image. Blocks. Repeats the call as RetryDelay allows: inspecting an image twice
  // does no harm. A request of more than CallOptions::max_request_bytes is refused with
  // INVALID_ARGUMENT (client/request_size.h).
  absl::StatusOr<proad::v1::DetectResponse> Detect(const proad::v1::DetectRequest& request) const;
  // The same with another deadline or retry policy.
  absl::StatusOr<proad::v1::DetectResponse> Detect(const proad::v1::DetectRequest& request,
                                                   const CallOptions& call) const;

  // Opens a stream, which sends many images without waiting for each answer. It may outlive this
  // object.
  std::unique_ptr<DetectStream> OpenStream() const;

 private:
  const std::shared_ptr<proad::v1::DetectionService::Stub> stub_;
  const CallOptions call_;
};

}  // namespace proad::client
