// Asks a server to inspect images, one call each.
//
// Requests and answers are the messages of proto/proad/v1/detection.proto themselves: they are
// documented there field by field and nothing is gained by a copy of them.
//
//   proad::client::DetectionClient client({.address = "localhost:50051"});
//   proad::v1::DetectRequest request;
//   request.set_encoded(bytes_of_a_file);
//   absl::StatusOr<proad::v1::DetectResponse> detection = client.Detect(request);
//
// Errors carry the server's details, see client/error.h. No error ever comes with a verdict.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "client/channel.h"
#include "client/detect_stream.h"
#include "proad/v1/detection.grpc.pb.h"

namespace proad::client {

// Thread-safe: any number of threads may call at once, they share one connection.
class DetectionClient {
 public:
  explicit DetectionClient(const ChannelOptions& channel, CallOptions call = {});
  // Over a connection that others use too.
  explicit DetectionClient(const std::shared_ptr<grpc::Channel>& channel, CallOptions call = {});

  // Inspects one image; blocks. Retries as RetryDelay says: to inspect twice is to inspect once.
  absl::StatusOr<proad::v1::DetectResponse> Detect(const proad::v1::DetectRequest& request) const;
  // The same with a deadline or a retry policy of its own.
  absl::StatusOr<proad::v1::DetectResponse> Detect(const proad::v1::DetectRequest& request,
                                                   const CallOptions& call) const;

  // Opens a stream, for many images in flight at once. It may outlive this object.
  std::unique_ptr<DetectStream> OpenStream() const;

 private:
  const std::shared_ptr<proad::v1::DetectionService::Stub> stub_;
  const CallOptions call_;
};

}  // namespace proad::client
