// ModelService: lists, loads, activates, calibrates and deletes versions of models.
#pragma once

#include <proad/v1/model.grpc.pb.h>

#include <atomic>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/rpc/unary.h"
#include "server/serving/model_serving.h"
#include "server/telemetry/metrics.h"
#include "server/util/thread_pool.h"

namespace proad::server {

// Does what Calibrate says; may take minutes. calibration.h has it.
using RunCalibration = std::function<absl::Status(const v1::CalibrateRequest& request,
                                                  v1::CalibrateResponse& response)>;

// Thread-safety: gRPC calls the methods from its threads. Reading calls run on `pool`; calls that
// change a model run one at a time on a thread of the service. The references given to the
// constructor must outlive the service.
class ModelService final : public v1::ModelService::CallbackService {
 public:
  // `on_swap` is called after each change of an active version, on the thread that made it.
  ModelService(ModelServing& models, std::function<void()> on_swap, RunCalibration calibrate,
               ThreadPool& pool, Authorizer& authorizer, Metrics& metrics);
  ~ModelService() override;

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;
  grpc::ServerUnaryReactor* LoadModel(grpc::CallbackServerContext* context,
                                      const v1::LoadModelRequest* request,
                                      v1::LoadModelResponse* response) override;
  grpc::ServerUnaryReactor* ActivateModel(grpc::CallbackServerContext* context,
                                          const v1::ActivateModelRequest* request,
                                          v1::ActivateModelResponse* response) override;
  grpc::ServerUnaryReactor* RollbackModel(grpc::CallbackServerContext* context,
                                          const v1::RollbackModelRequest* request,
                                          v1::RollbackModelResponse* response) override;
  grpc::ServerUnaryReactor* UnloadModel(grpc::CallbackServerContext* context,
                                        const v1::UnloadModelRequest* request,
                                        v1::UnloadModelResponse* response) override;
  grpc::ServerUnaryReactor* DeleteModel(grpc::CallbackServerContext* context,
                                        const v1::DeleteModelRequest* request,
                                        v1::DeleteModelResponse* response) override;
  grpc::ServerUnaryReactor* Calibrate(grpc::CallbackServerContext* context,
                                      const v1::CalibrateRequest* request,
                                      v1::CalibrateResponse* response) override;

 private:
  absl::Status List(const v1::ListModelsRequest& request, v1::ListModelsResponse& response);
  absl::Status Get(const v1::GetModelRequest& request, v1::GetModelResponse& response);
  absl::Status Load(const v1::LoadModelRequest& request, v1::LoadModelResponse& response);
  absl::Status Activate(const v1::ActivateModelRequest& request,
                        v1::ActivateModelResponse& response);
  absl::Status RollBack(const v1::RollbackModelRequest& request,
                        v1::RollbackModelResponse& response);
  absl::Status Unload(const v1::UnloadModelRequest& request, v1::UnloadModelResponse& response);
  absl::Status Delete(const v1::DeleteModelRequest& request, v1::DeleteModelResponse& response);

  ModelServing& models_;
  const std::function<void()> on_swap_;
  const RunCalibration run_calibration_;
  ThreadPool& pool_;
  ThreadPool changing_;     // one thread: a load takes seconds, and memory for two versions
  ThreadPool calibrating_;  // one thread
  std::atomic<bool> calibrates_ = false;
  RpcGuard list_guard_;
  RpcGuard get_guard_;
  RpcGuard load_guard_;
  RpcGuard activate_guard_;
  RpcGuard rollback_guard_;
  RpcGuard unload_guard_;
  RpcGuard delete_guard_;
  RpcGuard calibrate_guard_;
};

}  // namespace proad::server
