// A server that does as the request says, for tests of clients: real gRPC, no model.
//
// DetectRequest.category is the script, "KIND", "KIND:TIMES" or "KIND:TIMES:MILLISECONDS"; the
// first TIMES calls with the same script (default: every one) fail in this way, the rest are
// answered:
//
//   unavailable   UNAVAILABLE, without details
//   reset         RESOURCE_EXHAUSTED, as gRPC ends a call for want of memory
//   busy          RESOURCE_EXHAUSTED, reason QUEUE_FULL, RetryInfo of MILLISECONDS
//   pushback      RESOURCE_EXHAUSTED, trailer grpc-retry-pushback-ms and no RetryInfo
//   full          RESOURCE_EXHAUSTED that does not say when to come back
//   invalid       INVALID_ARGUMENT, reason STRIDE_TOO_SMALL, field frame.stride
//   unknown       NOT_FOUND, reason UNKNOWN_CATEGORY
//   internal, expired, cancelled    INTERNAL, DEADLINE_EXCEEDED, CANCELLED
//   late          (stream only) answered after the next image
//   end           (stream only) ends the stream with UNAVAILABLE, this image unanswered
//
// The score of `encoded` is the number after "score=" in it; without one the image is
// INVALID_ARGUMENT, field encoded. The score of a frame is the mean of its bytes / 255. The verdict
// follows request.threshold. What else was received is told in model_version.hash, for example
// "RGB8 4x3 stride 12, 36 bytes, heatmap 1, resolution 2".
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "grpcpp/server.h"
#include "proad/v1/detection.grpc.pb.h"
#include "proad/v1/model.grpc.pb.h"
#include "tests/support/scripted_training.h"

namespace proad::testing {

// Thread-safe.
class ScriptedDetectionService final : public proad::v1::DetectionService::Service {
 public:
  grpc::Status Detect(grpc::ServerContext* context, const proad::v1::DetectRequest* request,
                      proad::v1::DetectResponse* response) override;
  grpc::Status DetectStream(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<proad::v1::DetectStreamResponse, proad::v1::DetectStreamRequest>*
          stream) override;

  // How often the script was called.
  int Calls(const std::string& script) const;
  // While broken, every Detect is counted and answered with INTERNAL.
  void SetBroken(bool broken) { broken_ = broken; }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, int> calls_;
  std::atomic<bool> broken_ = false;
};

// Three versions of two models, two on a page; "proad-tiny@2" is the default. There is a card of
// it, and of "screws@3", which ScriptedTrainingService publishes.
class ScriptedModelService final : public proad::v1::ModelService::Service {
 public:
  grpc::Status ListModels(grpc::ServerContext* context, const proad::v1::ListModelsRequest* request,
                          proad::v1::ListModelsResponse* response) override;
  grpc::Status GetModel(grpc::ServerContext* context, const proad::v1::GetModelRequest* request,
                        proad::v1::GetModelResponse* response) override;
  // Of proad-tiny@1 and @2; nothing changes.
  grpc::Status ActivateModel(grpc::ServerContext* context,
                             const proad::v1::ActivateModelRequest* request,
                             proad::v1::ActivateModelResponse* response) override;
  grpc::Status RollbackModel(grpc::ServerContext* context,
                             const proad::v1::RollbackModelRequest* request,
                             proad::v1::RollbackModelResponse* response) override;
  grpc::Status LoadModel(grpc::ServerContext* context, const proad::v1::LoadModelRequest* request,
                         proad::v1::LoadModelResponse* response) override;
  grpc::Status Calibrate(grpc::ServerContext* context, const proad::v1::CalibrateRequest* request,
                         proad::v1::CalibrateResponse* response) override;
  grpc::Status UnloadModel(grpc::ServerContext* context,
                           const proad::v1::UnloadModelRequest* request,
                           proad::v1::UnloadModelResponse* response) override;
  grpc::Status DeleteModel(grpc::ServerContext* context,
                           const proad::v1::DeleteModelRequest* request,
                           proad::v1::DeleteModelResponse* response) override;
};

// All on the loopback, with health and reflection. Stops when destroyed.
class ScriptedServer {
 public:
  // Default: at a free port.
  explicit ScriptedServer(const std::string& address = "127.0.0.1:0");
  ~ScriptedServer();

  const std::string& address() const { return address_; }
  ScriptedDetectionService& detection() { return detection_; }
  ScriptedTrainingService& training() { return training_; }
  // What the health service says; at first true.
  void SetServing(bool serving);

 private:
  ScriptedDetectionService detection_;
  ScriptedModelService models_;
  ScriptedTrainingService training_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace proad::testing
