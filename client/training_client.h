// Training jobs of a server: creates, watches, cancels and resumes jobs, and uploads datasets.
//
// Requests and responses are the messages of proto/proad/v1/training.proto.
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

// Returns true for SUCCEEDED, FAILED and CANCELLED. Such a job changes only when it is resumed.
bool HasEnded(proad::v1::TrainJobState state);

// Selects the jobs to list.
struct JobFilter {
  std::vector<proad::v1::TrainJobState> states;  // empty: all states
  std::string model_name;                        // empty: all models
};

struct WatchOptions {
  // A stop request from any thread ends the watch. The job continues.
  std::stop_token stop;
  // Longest time without a message from the server. Then the watch fails.
  absl::Duration patience = absl::Minutes(10);
  // Called with the error when the connection is lost, before the watch reconnects.
  std::function<void(const absl::Status&)> on_interruption;
  // max_attempts has no effect: `patience` limits the attempts.
  RetryPolicy retry = {.initial_backoff = absl::Milliseconds(250)};
};

struct UploadProgress {
  uint64_t files = 0;  // sent files, including those of earlier uploads
  uint64_t total_files = 0;
  uint64_t bytes = 0;  // sent bytes, including those of earlier uploads
  uint64_t total_bytes = 0;
  std::string path;  // file in progress; empty at the end
};

struct UploadOptions {
  // Called by the calling thread after every chunk.
  std::function<void(const UploadProgress&)> on_progress;
  // Called with the error when the stream breaks, before the upload continues after the last
  // complete file.
  std::function<void(const absl::Status&)> on_interruption;
  // A stop request ends the upload. The server keeps complete files, and a later upload continues.
  std::stop_token stop;
  // max_attempts counts consecutive streams without a further complete file.
  RetryPolicy retry = {.max_attempts = 6, .initial_backoff = absl::Milliseconds(250)};
};

// Thread-safe. Blocking calls. Errors carry the server's details, see client/error.h.
class TrainingClient {
 public:
  explicit TrainingClient(const std::shared_ptr<grpc::Channel>& channel, CallOptions call = {});

  // Generates a request_id if the request has none, so that a repeated call creates one job only.
  absl::StatusOr<proad::v1::TrainJob> CreateTrainJob(
      proad::v1::CreateTrainJobRequest request) const;

  absl::StatusOr<proad::v1::TrainJob> GetTrainJob(const std::string& job_id) const;

  // Returns the jobs, newest first. Reads all pages.
  absl::StatusOr<std::vector<proad::v1::TrainJob>> ListTrainJobs(
      const JobFilter& filter = {}) const;

  absl::StatusOr<proad::v1::TrainJob> CancelTrainJob(const std::string& job_id) const;
  absl::StatusOr<proad::v1::TrainJob> ResumeTrainJob(const std::string& job_id) const;

  // Calls `on_report` with the present state of the job and after changes, in the calling thread.
  // Returns the job when it has ended, in whichever state. Reconnects when the server is unreachable
  // for less than options.patience. CANCELLED after a request of options.stop.
  absl::StatusOr<proad::v1::TrainJob> Watch(
      const std::string& job_id, const std::function<void(const proad::v1::TrainJob&)>& on_report,
      const WatchOptions& options = {}) const;

  // Uploads the folder as the dataset `dataset_id`, in chunks of at most 1 MiB. Continues an
  // unfinished upload of this name, and reconnects when the stream breaks. `listing` is the result of
  // ListFolder for the same folder.
  //   ALREADY_EXISTS       The dataset is complete.
  //   FAILED_PRECONDITION  The unfinished upload of this name has other files than the folder, or a
  //                        file of the folder has changed.
  absl::StatusOr<proad::v1::UploadDatasetResponse> UploadDataset(
      const std::string& dataset_id, const std::filesystem::path& folder,
      const FolderListing& listing, const UploadOptions& options = {}) const;
  // The same; lists the folder first.
  absl::StatusOr<proad::v1::UploadDatasetResponse> UploadDataset(
      const std::string& dataset_id, const std::filesystem::path& folder,
      const UploadOptions& options = {}) const;

 private:
  const std::shared_ptr<proad::v1::TrainingService::Stub> stub_;
  const CallOptions call_;
};

}  // namespace proad::client
