// ModelService: which model versions there are, and which of them serve.
#pragma once

#include <proad/v1/model.grpc.pb.h>

#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/rpc/unary.h"
#include "server/serving/model_registry.h"
#include "server/telemetry/metrics.h"
#include "server/util/thread_pool.h"

namespace proad::server {

// Makes a version active and lets the world know; ModelRegistry::Activate does the work.
using SwapVersion =
    std::function<absl::StatusOr<ModelSwap>(const std::string& name, const std::string& version,
                                            const std::optional<std::string>& expected_active)>;

// Thread-safety: gRPC calls it from its threads. Looking at the store happens on `pool`, loading
// on a thread of its own. The registry, the pool and the metrics must outlive it.
class ModelService final : public v1::ModelService::CallbackService {
 public:
  ModelService(ModelRegistry& registry, SwapVersion swap_version, ThreadPool& pool,
               Metrics& metrics);
  ~ModelService() override;

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;
  grpc::ServerUnaryReactor* LoadModel(grpc::CallbackServerContext* context,
                                      const v1::LoadModelRequest*,
                                      v1::LoadModelResponse*) override {
    return load_.Refuse(*context);
  }
  grpc::ServerUnaryReactor* ActivateModel(grpc::CallbackServerContext* context,
                                          const v1::ActivateModelRequest* request,
                                          v1::ActivateModelResponse* response) override;
  grpc::ServerUnaryReactor* RollbackModel(grpc::CallbackServerContext* context,
                                          const v1::RollbackModelRequest*,
                                          v1::RollbackModelResponse*) override {
    return rollback_.Refuse(*context);
  }
  grpc::ServerUnaryReactor* UnloadModel(grpc::CallbackServerContext* context,
                                        const v1::UnloadModelRequest*,
                                        v1::UnloadModelResponse*) override {
    return unload_.Refuse(*context);
  }
  grpc::ServerUnaryReactor* DeleteModel(grpc::CallbackServerContext* context,
                                        const v1::DeleteModelRequest*,
                                        v1::DeleteModelResponse*) override {
    return delete_.Refuse(*context);
  }
  grpc::ServerUnaryReactor* Calibrate(grpc::CallbackServerContext* context,
                                      const v1::CalibrateRequest*,
                                      v1::CalibrateResponse*) override {
    return calibrate_.Refuse(*context);
  }

 private:
  absl::Status List(const v1::ListModelsRequest& request, v1::ListModelsResponse& response);
  absl::Status Get(const v1::GetModelRequest& request, v1::GetModelResponse& response);
  absl::Status Activate(const v1::ActivateModelRequest& request,
                        v1::ActivateModelResponse& response);

  ModelRegistry& registry_;
  const SwapVersion swap_version_;
  ThreadPool& pool_;
  ThreadPool loading_;  // one at a time: a load takes seconds, and memory for two versions
  RpcMetrics list_metrics_;
  RpcMetrics get_metrics_;
  RpcMetrics activate_metrics_;
  UnofferedRpc load_;
  UnofferedRpc rollback_;
  UnofferedRpc unload_;
  UnofferedRpc delete_;
  UnofferedRpc calibrate_;
};

}  // namespace proad::server
