#include "client/training_client.h"

#include <iterator>
#include <limits>
#include <optional>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/dataset_upload.h"
#include "client/error.h"
#include "client/wait.h"

namespace proad::client {
namespace {

using proad::v1::TrainingService;
using proad::v1::TrainJob;

std::string MakeRequestId() {
  absl::BitGen random;
  return absl::StrFormat("%016x%016x", absl::Uniform<uint64_t>(random),
                         absl::Uniform<uint64_t>(random));
}

// Reads one WatchTrainJob stream to its end.
absl::Status ReadWatch(TrainingService::Stub& stub, const std::string& job_id,
                       const std::stop_token& stop,
                       const std::function<void(TrainJob)>& on_report) {
  grpc::ClientContext context;
  const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
  proad::v1::WatchTrainJobRequest request;
  request.set_job_id(job_id);
  const auto stream = stub.WatchTrainJob(&context, request);
  proad::v1::WatchTrainJobResponse response;
  while (stream->Read(&response)) on_report(std::move(*response.mutable_job()));
  return ToStatus(stream->Finish(), context);
}

// Makes a call whose response holds a job.
template <typename Request, typename Response>
absl::StatusOr<TrainJob> CallForJob(
    TrainingService::Stub& stub, const CallOptions& call,
    grpc::Status (TrainingService::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
    const Request& request) {
  Response response;
  const absl::Status status = CallWithRetry(call, [&](grpc::ClientContext& context) {
    return (stub.*method)(&context, request, &response);
  });
  if (!status.ok()) return status;
  return std::move(*response.mutable_job());
}

}  // namespace

bool HasEnded(proad::v1::TrainJobState state) {
  return state == proad::v1::TRAIN_JOB_STATE_SUCCEEDED ||
         state == proad::v1::TRAIN_JOB_STATE_FAILED ||
         state == proad::v1::TRAIN_JOB_STATE_CANCELLED;
}

TrainingClient::TrainingClient(const std::shared_ptr<grpc::Channel>& channel, CallOptions call)
    : stub_(TrainingService::NewStub(channel)), call_(call) {}

absl::StatusOr<TrainJob> TrainingClient::CreateTrainJob(
    proad::v1::CreateTrainJobRequest request) const {
  if (request.request_id().empty() && !request.validate_only()) {
    request.set_request_id(MakeRequestId());
  }
  return CallForJob(*stub_, call_, &TrainingService::Stub::CreateTrainJob, request);
}

absl::StatusOr<TrainJob> TrainingClient::GetTrainJob(const std::string& job_id) const {
  proad::v1::GetTrainJobRequest request;
  request.set_job_id(job_id);
  return CallForJob(*stub_, call_, &TrainingService::Stub::GetTrainJob, request);
}

absl::StatusOr<std::vector<TrainJob>> TrainingClient::ListTrainJobs(const JobFilter& filter) const {
  std::vector<TrainJob> jobs;
  proad::v1::ListTrainJobsRequest request;
  for (const auto state : filter.states) request.add_states(state);
  request.set_model_name(filter.model_name);
  do {
    proad::v1::ListTrainJobsResponse response;
    const absl::Status status = CallWithRetry(call_, [&](grpc::ClientContext& context) {
      return stub_->ListTrainJobs(&context, request, &response);
    });
    if (!status.ok()) return status;
    std::move(response.mutable_jobs()->begin(), response.mutable_jobs()->end(),
              std::back_inserter(jobs));
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return jobs;
}

absl::StatusOr<TrainJob> TrainingClient::CancelTrainJob(const std::string& job_id) const {
  proad::v1::CancelTrainJobRequest request;
  request.set_job_id(job_id);
  return CallForJob(*stub_, call_, &TrainingService::Stub::CancelTrainJob, request);
}

absl::StatusOr<TrainJob> TrainingClient::ResumeTrainJob(const std::string& job_id) const {
  proad::v1::ResumeTrainJobRequest request;
  request.set_job_id(job_id);
  return CallForJob(*stub_, call_, &TrainingService::Stub::ResumeTrainJob, request);
}

absl::StatusOr<TrainJob> TrainingClient::Watch(
    const std::string& job_id, const std::function<void(const TrainJob&)>& on_report,
    const WatchOptions& options) const {
  const absl::Status stopped = absl::CancelledError("the watch was stopped; the job continues");
  RetryPolicy policy = options.retry;
  policy.max_attempts = std::numeric_limits<int>::max();
  absl::BitGen random;
  std::optional<TrainJob> last;
  absl::Time last_message = absl::Now();
  for (int attempts = 1;; ++attempts) {
    absl::Status status = ReadWatch(*stub_, job_id, options.stop, [&](TrainJob job) {
      attempts = 1;
      last = std::move(job);
      on_report(*last);
      last_message = absl::Now();
    });
    if (last && HasEnded(last->state())) return *std::move(last);
    if (options.stop.stop_requested()) return stopped;
    if (status.ok()) {
      status = absl::UnavailableError("the server ended the watch, but the job has not ended");
    }
    const auto delay =
        RetryDelay(policy, status, attempts, last_message + options.patience - absl::Now(),
                   absl::Uniform(random, 0.0, 1.0));
    if (!delay) return status;
    if (options.on_interruption) options.on_interruption(status);
    if (!WaitFor(*delay, options.stop)) return stopped;
  }
}

absl::StatusOr<proad::v1::UploadDatasetResponse> TrainingClient::UploadDataset(
    const std::string& dataset_id, const std::filesystem::path& folder,
    const FolderListing& listing, const UploadOptions& options) const {
  return DatasetUpload(*stub_, call_, dataset_id, folder, listing, options).Run();
}

absl::StatusOr<proad::v1::UploadDatasetResponse> TrainingClient::UploadDataset(
    const std::string& dataset_id, const std::filesystem::path& folder,
    const UploadOptions& options) const {
  const absl::StatusOr<FolderListing> listing = ListFolder(folder, options.stop);
  if (!listing.ok()) return listing.status();
  return UploadDataset(dataset_id, folder, *listing, options);
}

}  // namespace proad::client
