// DetectionService of proad/v1/detection.proto, on the callback API of gRPC.
#pragma once

#include <proad/v1/detection.grpc.pb.h>

#include <map>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "server/batching/detector.h"
#include "server/rpc/auth.h"
#include "server/rpc/detect_stream.h"
#include "server/rpc/inspector.h"
#include "server/telemetry/metrics.h"
#include "server/util/mutex.h"

namespace proad::server {

// Thread-safety: gRPC calls the methods from its threads, which they never block; Drain may be
// called from any thread. Must outlive the grpc::Server that it is registered with, and the queries
// of the detector.
class DetectionService : public v1::DetectionService::CallbackService {
 public:
  struct Options {
    // Images of one stream that are read and not yet answered.
    int stream_window = 16;
  };

  DetectionService(const Options& options, Detector& detector, Authorizer& authorizer,
                   Metrics& metrics);

  grpc::ServerUnaryReactor* Detect(grpc::CallbackServerContext* context,
                                   const v1::DetectRequest* request,
                                   v1::DetectResponse* response) override;

  grpc::ServerBidiReactor<v1::DetectStreamRequest, v1::DetectStreamResponse>* DetectStream(
      grpc::CallbackServerContext* context) override;

  // Streams stop reading and end when their images are answered. New calls are refused with
  // UNAVAILABLE. Returns at once.
  void Drain();

 private:
  using Stream = server::DetectStream;

  void Forget(Stream* stream);

  const Options options_;
  Detector& detector_;
  Metrics& metrics_;
  RpcGuard detect_guard_;
  RpcGuard stream_guard_;
  Inspector unary_;
  Inspector streamed_;

  Mutex mutex_;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<Stream*, std::shared_ptr<Stream>> streams_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace proad::server
