// Trains models as jobs of a server: create, follow, cancel and resume them, and bring pictures.
//
// Requests and answers are the messages of proto/proad/v1/training.proto themselves.
//
//   proad::client::TrainingClient client(proad::client::Connect({.address = "localhost:50051"}));
//   proad::v1::CreateTrainJobRequest request;
//   request.mutable_spec()->set_model_name("screws");
//   request.mutable_spec()->set_dataset_path("screws/2026-11");
//   auto job = client.CreateTrainJob(request);
//   auto ended = client.Watch(job->job_id(), [](const proad::v1::TrainJob& now) { Show(now); });
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/channel.h"
#include "client/dataset_folder.h"
#include "proad/v1/training.grpc.pb.h"

namespace proad::client {

// SUCCEEDED, FAILED and CANCELLED: nothing more happens to such a job by itself.
bool HasEnded(proad::v1::TrainJobState state);

// Which jobs to list.
struct JobFilter {
  std::vector<proad::v1::TrainJobState> states;  // empty: any
  std::string model_name;                        // "": any
};

// How to follow a job.
struct WatchOptions {
  // Requesting a stop leaves the watch from another thread; the job goes on.
  std::stop_token stop;
  // How long to keep looking for a server that is gone, from the last time that it was heard.
  absl::Duration patience = absl::Minutes(10);
  // The connection was lost, for this reason; the watch goes on as soon as the server is back.
  std::function<void(const absl::Status&)> on_interruption;
  RetryPolicy retry = {.initial_backoff =
                           absl::Milliseconds(250)};  // max_attempts is not looked at
};

// How far an upload is.
struct UploadProgress {
  uint64_t files = 0;  // sent, those of earlier uploads included
  uint64_t total_files = 0;
  uint64_t bytes = 0;  // likewise
  uint64_t total_bytes = 0;
  std::string path;  // being sent; "" at the end
};

// How to send a folder.
struct UploadOptions {
  // Called from the calling thread, after every chunk.
  std::function<void(const UploadProgress&)> on_progress;
  // The stream broke for this reason; the upload goes on from the last whole file.
  std::function<void(const absl::Status&)> on_interruption;
  // Requesting a stop gives up; what is whole stays on the server and can be continued.
  std::stop_token stop;
  // max_attempts counts streams that brought no whole file more.
  RetryPolicy retry = {.max_attempts = 6, .initial_backoff = absl::Milliseconds(250)};
};

// Thread-safe: any number of threads may call at once. Errors as of DetectionClient: they carry the
// server's details. All calls block.
class TrainingClient {
 public:
  explicit TrainingClient(const std::shared_ptr<grpc::Channel>& channel, CallOptions call = {});

  // Makes up a request_id when there is none: so that a call whose answer was lost on the way can
  // be repeated, and still makes one job.
  absl::StatusOr<proad::v1::TrainJob> CreateTrainJob(
      proad::v1::CreateTrainJobRequest request) const;

  absl::StatusOr<proad::v1::TrainJob> GetTrainJob(const std::string& job_id) const;

  // Newest first, all pages of them.
  absl::StatusOr<std::vector<proad::v1::TrainJob>> ListTrainJobs(
      const JobFilter& filter = {}) const;

  absl::StatusOr<proad::v1::TrainJob> CancelTrainJob(const std::string& job_id) const;
  absl::StatusOr<proad::v1::TrainJob> ResumeTrainJob(const std::string& job_id) const;

  // Calls `on_report` from the calling thread with the job as it is and after every change, and
  // returns it when it has ended, however it ended. Goes on when the server is away for a while.
  // CANCELLED after options.stop.
  absl::StatusOr<proad::v1::TrainJob> Watch(
      const std::string& job_id, const std::function<void(const proad::v1::TrainJob&)>& on_report,
      const WatchOptions& options = {}) const;

  // Sends the folder as the dataset `dataset_id`, in chunks of 1 MiB at most; continues an upload
  // of it that was not finished, and by itself when the stream breaks. `listing` is ListFolder's of
  // the same folder.
  //   ALREADY_EXISTS       the dataset is complete already
  //   FAILED_PRECONDITION  the unfinished upload of that name has other files than this folder, or
  //                        a file of the folder has changed
  absl::StatusOr<proad::v1::UploadDatasetResponse> UploadDataset(
      const std::string& dataset_id, const std::filesystem::path& folder,
      const FolderListing& listing, const UploadOptions& options = {}) const;
  // Lists the folder first.
  absl::StatusOr<proad::v1::UploadDatasetResponse> UploadDataset(
      const std::string& dataset_id, const std::filesystem::path& folder,
      const UploadOptions& options = {}) const;

 private:
  const std::shared_ptr<proad::v1::TrainingService::Stub> stub_;
  const CallOptions call_;
};

}  // namespace proad::client
