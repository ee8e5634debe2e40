#include "server/rpc/training_service.h"

namespace proad::server {
namespace {

constexpr char kImportInstead[] =
    "train elsewhere and bring the weights into the store with \"proad import\"";
constexpr char kNoJobs[] = "it has no training jobs";

// A stream that ends as soon as it begins. Deletes itself.
template <typename Reactor>
class Ended final : public Reactor {
 public:
  explicit Ended(const grpc::Status& status) { this->Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

TrainingService::TrainingService(Metrics& metrics)
    : create_(metrics, "CreateTrainJob", kImportInstead),
      get_(metrics, "GetTrainJob", kNoJobs),
      list_(metrics, "ListTrainJobs", kNoJobs),
      cancel_(metrics, "CancelTrainJob", kNoJobs),
      resume_(metrics, "ResumeTrainJob", kNoJobs),
      watch_(metrics, "WatchTrainJob", kNoJobs),
      upload_(metrics, "UploadDataset", kImportInstead) {}

grpc::ServerWriteReactor<v1::WatchTrainJobResponse>* TrainingService::WatchTrainJob(
    grpc::CallbackServerContext*, const v1::WatchTrainJobRequest*) {
  return new Ended<grpc::ServerWriteReactor<v1::WatchTrainJobResponse>>(watch_.Refuse());
}

grpc::ServerReadReactor<v1::UploadDatasetRequest>* TrainingService::UploadDataset(
    grpc::CallbackServerContext*, v1::UploadDatasetResponse*) {
  return new Ended<grpc::ServerReadReactor<v1::UploadDatasetRequest>>(upload_.Refuse());
}

}  // namespace proad::server
