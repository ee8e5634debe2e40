// Training that does as the request says, for tests of clients.
//
// A job's label "script" says what becomes of it:
//
//   (none)       runs through every phase and succeeds, with figures for pcb and alien
//   refused      the same, but its gate refuses the version
//   failed       runs two steps, then FAILED with NON_FINITE_LOSS; resumed, it succeeds
//   endless      runs one step and goes on until it is cancelled
//   interrupted  the first watch of it breaks with UNAVAILABLE after two reports
//   hung up      the first watch of it ends with OK after two reports
//   gone         every watch of it is UNAVAILABLE
//   lost         the first answer of CreateTrainJob is lost: the job is there, the call UNAVAILABLE
//
// A model name "bad" is INVALID_ARGUMENT of spec.model_name; a dataset_path below /outside is
// PERMISSION_DENIED.
//
// A dataset's id says what becomes of its upload; everything is checked as the contract says:
//
//   broken...    a stream is UNAVAILABLE after its first whole file, in the midst of the next
//   held...      the same, and the stream after it finds the dataset in use: ABORTED, once
//   silent...    the answer to finish is lost: the dataset is complete, the call UNAVAILABLE
//   never...     is always UNAVAILABLE
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "proad/v1/training.grpc.pb.h"

namespace proad::testing {

// Thread-safe.
class ScriptedTrainingService final : public proad::v1::TrainingService::Service {
 public:
  grpc::Status CreateTrainJob(grpc::ServerContext* context,
                              const proad::v1::CreateTrainJobRequest* request,
                              proad::v1::CreateTrainJobResponse* response) override;
  grpc::Status GetTrainJob(grpc::ServerContext* context,
                           const proad::v1::GetTrainJobRequest* request,
                           proad::v1::GetTrainJobResponse* response) override;
  // Two on a page.
  grpc::Status ListTrainJobs(grpc::ServerContext* context,
                             const proad::v1::ListTrainJobsRequest* request,
                             proad::v1::ListTrainJobsResponse* response) override;
  grpc::Status CancelTrainJob(grpc::ServerContext* context,
                              const proad::v1::CancelTrainJobRequest* request,
                              proad::v1::CancelTrainJobResponse* response) override;
  grpc::Status ResumeTrainJob(grpc::ServerContext* context,
                              const proad::v1::ResumeTrainJobRequest* request,
                              proad::v1::ResumeTrainJobResponse* response) override;
  grpc::Status WatchTrainJob(grpc::ServerContext* context,
                             const proad::v1::WatchTrainJobRequest* request,
                             grpc::ServerWriter<proad::v1::WatchTrainJobResponse>* writer) override;
  grpc::Status UploadDataset(grpc::ServerContext* context,
                             grpc::ServerReader<proad::v1::UploadDatasetRequest>* reader,
                             proad::v1::UploadDatasetResponse* response) override;

  // How many jobs there are.
  size_t Jobs() const;
  // Content of the dataset's whole files by their paths.
  std::map<std::string, std::string> Files(const std::string& dataset_id) const;
  // Bytes of the longest chunk that came.
  size_t LongestChunk() const;
  // Files that were announced, over all streams.
  int Announced() const;

 private:
  struct Job {
    proad::v1::TrainJob job;
    std::string request_id;
    std::string script;
    int watches = 0;
  };
  struct Dataset {
    std::map<std::string, std::string> files;
    bool complete = false;
    int refused = 0;  // streams
    bool broken = false;
  };

  Job* Find(const std::string& id);
  grpc::Status Receive(const std::string& id,
                       grpc::ServerReader<proad::v1::UploadDatasetRequest>& reader);
  grpc::Status Keep(const std::string& id, const proad::v1::UploadFile& file,
                    const std::string& content);
  grpc::Status Finish(const std::string& id, uint64_t files);
  void Describe(const std::string& id, proad::v1::UploadDatasetResponse* response);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Job> jobs_;
  std::map<std::string, Dataset> datasets_;
  size_t longest_chunk_ = 0;
  int announced_ = 0;
};

}  // namespace proad::testing
