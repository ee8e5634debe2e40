// ModelService: which model versions there are. What changes them is not offered yet.
#pragma once

#include <proad/v1/model.grpc.pb.h>

#include "absl/status/status.h"
#include "server/rpc/unary.h"
#include "server/serving/model_registry.h"
#include "server/telemetry/metrics.h"
#include "server/util/thread_pool.h"

namespace proad::server {

// Thread-safety: gRPC calls it from its threads. Looking at the store happens on `pool`. The
// registry, the pool and the metrics must outlive it.
class ModelService final : public v1::ModelService::CallbackService {
 public:
  ModelService(ModelRegistry& registry, ThreadPool& pool, Metrics& metrics);

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
                                          const v1::ActivateModelRequest*,
                                          v1::ActivateModelResponse*) override {
    return activate_.Refuse(*context);
  }
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

  ModelRegistry& registry_;
  ThreadPool& pool_;
  RpcMetrics list_metrics_;
  RpcMetrics get_metrics_;
  UnofferedRpc load_;
  UnofferedRpc activate_;
  UnofferedRpc rollback_;
  UnofferedRpc unload_;
  UnofferedRpc delete_;
  UnofferedRpc calibrate_;
};

}  // namespace proad::server
