// TrainingService: not offered yet. Every call ends with UNIMPLEMENTED and says what to do instead.
#pragma once

#include <proad/v1/training.grpc.pb.h>

#include "server/rpc/unary.h"
#include "server/telemetry/metrics.h"

namespace proad::server {

// Thread-safety: gRPC calls it from its threads. The metrics must outlive it.
class TrainingService final : public v1::TrainingService::CallbackService {
 public:
  explicit TrainingService(Metrics& metrics);

  grpc::ServerUnaryReactor* CreateTrainJob(grpc::CallbackServerContext* context,
                                           const v1::CreateTrainJobRequest*,
                                           v1::CreateTrainJobResponse*) override {
    return create_.Refuse(*context);
  }
  grpc::ServerUnaryReactor* GetTrainJob(grpc::CallbackServerContext* context,
                                        const v1::GetTrainJobRequest*,
                                        v1::GetTrainJobResponse*) override {
    return get_.Refuse(*context);
  }
  grpc::ServerUnaryReactor* ListTrainJobs(grpc::CallbackServerContext* context,
                                          const v1::ListTrainJobsRequest*,
                                          v1::ListTrainJobsResponse*) override {
    return list_.Refuse(*context);
  }
  grpc::ServerUnaryReactor* CancelTrainJob(grpc::CallbackServerContext* context,
                                           const v1::CancelTrainJobRequest*,
                                           v1::CancelTrainJobResponse*) override {
    return cancel_.Refuse(*context);
  }
  grpc::ServerUnaryReactor* ResumeTrainJob(grpc::CallbackServerContext* context,
                                           const v1::ResumeTrainJobRequest*,
                                           v1::ResumeTrainJobResponse*) override {
    return resume_.Refuse(*context);
  }
  grpc::ServerWriteReactor<v1::WatchTrainJobResponse>* WatchTrainJob(
      grpc::CallbackServerContext*, const v1::WatchTrainJobRequest*) override;
  grpc::ServerReadReactor<v1::UploadDatasetRequest>* UploadDataset(
      grpc::CallbackServerContext*, v1::UploadDatasetResponse*) override;

 private:
  UnofferedRpc create_;
  UnofferedRpc get_;
  UnofferedRpc list_;
  UnofferedRpc cancel_;
  UnofferedRpc resume_;
  UnofferedRpc watch_;
  UnofferedRpc upload_;
};

}  // namespace proad::server
