// The composition root: owns every part of the server, starts them in the order of the members and
// stops them in reverse.
#pragma once

#include <grpcpp/server.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/batching/admission.h"
#include "server/batching/detector.h"
#include "server/batching/dynamic_batcher.h"
#include "server/batching/worker_pool.h"
#include "server/config.h"
#include "server/health_reporter.h"
#include "server/jobs/job_planner.h"
#include "server/jobs/train_scheduler.h"
#include "server/rpc/auth.h"
#include "server/rpc/calibration.h"
#include "server/rpc/credentials.h"
#include "server/rpc/detection_service.h"
#include "server/rpc/health_service.h"
#include "server/rpc/model_service.h"
#include "server/rpc/training_service.h"
#include "server/serving/model_serving.h"
#include "server/serving/model_store.h"
#include "server/telemetry/exposer.h"
#include "server/telemetry/metrics.h"
#include "server/uploads/dataset_store.h"
#include "server/util/periodic_task.h"
#include "server/util/thread_pool.h"

namespace proad::server {

// Thread-safety: Start, EnterLameDuck and Stop are called from one thread.
class Server {
 public:
  // Listens, then loads the active versions of the store in the background. Until one is loaded,
  // calls are answered UNAVAILABLE; health is NOT_SERVING until the default model is warm.
  // `resolve_device` decides where a training job runs. `on_ready` is called once, from a thread of
  // its own, after Start has opened the port and health has become SERVING. Unfinished training
  // jobs are continued.
  //   NOT_FOUND    the store does not exist
  //   UNAVAILABLE  a port is taken
  //   else         as Credentials::Load and, unless training is off, TrainScheduler::Start
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const ResolvedConfig& config, ModelLoader loader, DeviceResolver resolve_device,
      std::function<void()> on_ready = [] {});
  ~Server();  // Stop()
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // "HOST:PORT" with the actual port.
  const std::string& grpc_address() const { return grpc_address_; }
  // The same for /metrics; "" without it.
  const std::string& metrics_address() const { return metrics_address_; }

  // Sets health to NOT_SERVING for good. Calls are answered as before.
  void EnterLameDuck();

  // Refuses new calls (UNAVAILABLE), answers the accepted ones within shutdown.drain_grace and the
  // rest with UNAVAILABLE, then stops every part. Returns when every thread has ended. Idempotent.
  void Stop();

  // After Stop: whether the thread of an abandoned worker may still run. The process must then end
  // without destroying what that thread may use.
  bool has_abandoned_workers() const { return workers_.has_abandoned_workers(); }

 private:
  // The parts of TrainingService; absent when training is off.
  struct Training {
    Training(const TrainingOptions& options, const ModelStore& models,
             DeviceResolver resolve_device, std::unique_ptr<TrainScheduler> jobs,
             Authorizer& authorizer, Metrics& metrics);

    DatasetStore datasets;
    JobPlanner planner;
    std::unique_ptr<TrainScheduler> scheduler;
    TrainingService service;
  };

  Server(const ResolvedConfig& config, ModelLoader loader, std::function<void()> on_ready);

  absl::Status StartTraining(const ResolvedConfig& config, DeviceResolver resolve_device);
  absl::StatusOr<ModelSwap> SwapVersion(const std::string& name, const std::string& version,
                                        const std::optional<std::string>& expected_active);
  absl::StatusOr<model::Dataset> OpenPictures(const std::string& path, const std::string& id,
                                              const std::vector<std::string>& categories) const;
  absl::Status Listen();
  absl::Status ExposeMetrics();
  bool Ready() const;
  void MeasureMemory();  // for the metrics
  void PublishHealth(bool ready);
  void RemoveExpiredDatasets();
  void Drain();

  const Config config_;
  std::string grpc_address_;
  std::string metrics_address_;
  std::atomic<bool> leaving_ = false;  // EnterLameDuck was called
  bool running_ = false;               // Start succeeded and Stop was not called

  Metrics metrics_;
  HealthService health_service_;
  HealthReporter health_;
  Authorizer authorizer_;
  std::unique_ptr<Credentials> credentials_;
  const ModelStore store_;
  ModelServing models_;
  Admission admission_;
  OutputBudget output_budget_;
  DynamicBatcher batcher_;
  ThreadPool preprocessing_;
  ThreadPool administration_;  // calls that read the disk
  Detector detector_;
  WorkerPool workers_;
  DetectionService detection_service_;
  const Calibration calibration_;
  ModelService model_service_;
  std::unique_ptr<Training> training_;
  std::unique_ptr<grpc::Server> grpc_server_;
  std::unique_ptr<Exposer> exposer_;
  std::thread loading_;
  PeriodicTask follower_;
  PeriodicTask dataset_expiry_;
};

}  // namespace proad::server
