// TrainingService: translates calls for the planner, the scheduler and the dataset store.
#pragma once

#include <proad/v1/training.grpc.pb.h>

#include <memory>
#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "server/jobs/job_planner.h"
#include "server/jobs/train_scheduler.h"
#include "server/rpc/dataset_upload_stream.h"
#include "server/rpc/job_watch.h"
#include "server/rpc/unary.h"
#include "server/telemetry/metrics.h"
#include "server/uploads/dataset_store.h"
#include "server/util/mutex.h"
#include "server/util/thread_pool.h"

namespace proad::server {

// Thread-safety: gRPC calls the methods from its threads; Drain may be called from any thread. The
// references given to the constructor must outlive the service.
class TrainingService final : public v1::TrainingService::CallbackService {
 public:
  TrainingService(const JobPlanner& planner, TrainScheduler& scheduler, DatasetStore& datasets,
                  Authorizer& authorizer, Metrics& metrics);
  ~TrainingService() override;

  // Ends watches and uploads with UNAVAILABLE, and refuses new calls with it. Returns at once.
  void Drain();

  grpc::ServerUnaryReactor* CreateTrainJob(grpc::CallbackServerContext* context,
                                           const v1::CreateTrainJobRequest* request,
                                           v1::CreateTrainJobResponse* response) override;
  grpc::ServerUnaryReactor* GetTrainJob(grpc::CallbackServerContext* context,
                                        const v1::GetTrainJobRequest* request,
                                        v1::GetTrainJobResponse* response) override;
  grpc::ServerUnaryReactor* ListTrainJobs(grpc::CallbackServerContext* context,
                                          const v1::ListTrainJobsRequest* request,
                                          v1::ListTrainJobsResponse* response) override;
  grpc::ServerUnaryReactor* CancelTrainJob(grpc::CallbackServerContext* context,
                                           const v1::CancelTrainJobRequest* request,
                                           v1::CancelTrainJobResponse* response) override;
  grpc::ServerUnaryReactor* ResumeTrainJob(grpc::CallbackServerContext* context,
                                           const v1::ResumeTrainJobRequest* request,
                                           v1::ResumeTrainJobResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchTrainJobResponse>* WatchTrainJob(
      grpc::CallbackServerContext* context, const v1::WatchTrainJobRequest* request) override;
  grpc::ServerReadReactor<v1::UploadDatasetRequest>* UploadDataset(
      grpc::CallbackServerContext* context, v1::UploadDatasetResponse* response) override;

 private:
  bool draining();
  // AnswerOnPool, unless the server drains.
  grpc::ServerUnaryReactor* OnPool(grpc::CallbackServerContext& context, ThreadPool& pool,
                                   RpcGuard& guard, absl::AnyInvocable<absl::Status() &&> work,
                                   Role needed = Role::kNone);
  absl::Status Create(const v1::CreateTrainJobRequest& request,
                      v1::CreateTrainJobResponse& response);
  absl::Status List(const v1::ListTrainJobsRequest& request, v1::ListTrainJobsResponse& response);

  const JobPlanner& planner_;
  TrainScheduler& scheduler_;
  DatasetStore& datasets_;
  // Threads of gRPC must not block. Slow calls have their own pool, so they do not delay fast ones.
  ThreadPool creating_;   // reads datasets
  ThreadPool changing_;   // waits for trainers to end
  ThreadPool reading_;    // copies the scheduler's records
  ThreadPool uploading_;  // writes files
  RpcGuard create_guard_;
  RpcGuard get_guard_;
  RpcGuard list_guard_;
  RpcGuard cancel_guard_;
  RpcGuard resume_guard_;
  RpcGuard watch_guard_;
  RpcGuard upload_guard_;

  Mutex mutex_;
  std::set<JobWatch*> watches_ ABSL_GUARDED_BY(mutex_);
  std::set<DatasetUploadStream*> uploads_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace proad::server
