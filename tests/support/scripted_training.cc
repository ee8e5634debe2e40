#include "tests/support/scripted_training.h"

#include <openssl/sha.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/support/scripted_error.h"

namespace proad::testing {
namespace {

using grpc::Status;
using grpc::StatusCode;
using proad::v1::TrainJob;
using proad::v1::UploadDatasetRequest;

constexpr int kSteps = 4;
constexpr size_t kPage = 2;

Status Error(StatusCode code, const std::string& message, const std::string& reason = "",
             const std::string& field = "") {
  return ToGrpc(MakeError(code, message, reason, field));
}

std::string ScriptOf(const proad::v1::TrainJobSpec& spec) {
  const auto found = spec.labels().find("script");
  return found == spec.labels().end() ? "" : found->second;
}

void SetProgress(TrainJob& job, proad::v1::TrainPhase phase, int step) {
  job.set_state(proad::v1::TRAIN_JOB_STATE_RUNNING);
  job.set_attempts(1);
  auto& progress = *job.mutable_progress();
  progress.set_phase(phase);
  progress.set_epochs(2);
  progress.set_epoch(step == 0 ? 0 : (step + 1) / 2);
  progress.set_step(step);
  progress.set_steps(kSteps);
  if (step > 0) progress.set_loss(0.5 / step);
  progress.set_learning_rate(1e-4);
  progress.set_images_per_second(38.25);
  progress.mutable_eta()->set_seconds(80 - 20 * step);
  progress.mutable_elapsed()->set_seconds(130);
  progress.set_device("cpu");
}

void AddMetric(google::protobuf::RepeatedPtrField<proad::v1::Metric>* metrics,
               const std::string& name, const std::string& category, double value) {
  auto* metric = metrics->Add();
  metric->set_name(name);
  metric->set_category(category);
  metric->set_value(value);
  metric->set_images(category.empty() ? 20 : 10);
}

void Succeed(TrainJob& job, bool refused) {
  job.set_state(proad::v1::TRAIN_JOB_STATE_SUCCEEDED);
  auto* metrics = job.mutable_evaluation()->mutable_metrics();
  AddMetric(metrics, "image_auroc", "", 0.9);
  AddMetric(metrics, "aupro", "", 0.8);
  AddMetric(metrics, "image_auroc", "alien", 0.85);
  AddMetric(metrics, "aupro", "alien", 0.75);
  AddMetric(metrics, "image_auroc", "pcb", 0.95);
  job.mutable_evaluation()->set_images(20);
  job.mutable_result_version()->set_name(job.spec().model_name());
  job.mutable_result_version()->set_version("3");
  if (!job.spec().activate_on_success()) return;
  auto* gate = job.mutable_gate_result();
  gate->set_passed(!refused);
  gate->set_activated(!refused);
  if (!refused) return;
  gate->set_reason("image_auroc is 0.9000 and must reach 0.9500");
  gate->mutable_compared_with()->set_name(job.spec().model_name());
  gate->mutable_compared_with()->set_version("2");
  AddMetric(gate->mutable_compared_metrics(), "image_auroc", "", 0.94);
}

void Fail(TrainJob& job) {
  job.set_state(proad::v1::TRAIN_JOB_STATE_FAILED);
  job.set_reason("the loss is not finite at step 2, learning rate 0.0001");
  job.set_reason_code("NON_FINITE_LOSS");
}

// What a job goes through, in order.
std::vector<std::function<void(TrainJob&)>> Life(const std::string& script) {
  using proad::v1::TrainPhase;
  std::vector<std::function<void(TrainJob&)>> life = {[](TrainJob&) {}};
  const auto add = [&life](TrainPhase phase, int step) {
    life.push_back([phase, step](TrainJob& job) { SetProgress(job, phase, step); });
  };
  add(proad::v1::TRAIN_PHASE_PREPARING, 0);
  add(proad::v1::TRAIN_PHASE_ENCODING, 0);
  const int steps = script == "endless" ? 1 : script == "failed" ? 2 : kSteps;
  for (int step = 1; step <= steps; ++step) add(proad::v1::TRAIN_PHASE_TRAINING, step);
  if (script == "endless") return life;
  if (script == "failed") {
    life.push_back(Fail);
    return life;
  }
  add(proad::v1::TRAIN_PHASE_EVALUATING, kSteps);
  add(proad::v1::TRAIN_PHASE_PUBLISHING, kSteps);
  life.push_back([refused = script == "refused"](TrainJob& job) { Succeed(job, refused); });
  return life;
}

bool HasEnded(const TrainJob& job) { return job.state() >= proad::v1::TRAIN_JOB_STATE_SUCCEEDED; }

}  // namespace

ScriptedTrainingService::Job* ScriptedTrainingService::Find(const std::string& id) {
  const auto found = std::find_if(jobs_.begin(), jobs_.end(),
                                  [&](const Job& job) { return job.job.job_id() == id; });
  return found == jobs_.end() ? nullptr : &*found;
}

Status ScriptedTrainingService::CreateTrainJob(grpc::ServerContext*,
                                               const proad::v1::CreateTrainJobRequest* request,
                                               proad::v1::CreateTrainJobResponse* response) {
  const proad::v1::TrainJobSpec& spec = request->spec();
  if (spec.model_name() == "bad") {
    return Error(StatusCode::INVALID_ARGUMENT, "'bad' is no name", "INVALID_NAME",
                 "spec.model_name");
  }
  if (absl::StartsWith(spec.dataset_path(), "/outside")) {
    return Error(StatusCode::PERMISSION_DENIED, "the path leaves the data root", "OUTSIDE_ROOT",
                 "spec.dataset_path");
  }
  const std::lock_guard lock(mutex_);
  for (const Job& job : jobs_) {
    if (request->request_id().empty() || job.request_id != request->request_id()) continue;
    *response->mutable_job() = job.job;
    return Status::OK;
  }
  TrainJob job;
  *job.mutable_spec() = spec;
  if (spec.preset().empty()) job.mutable_spec()->set_preset("proad-tiny");
  if (spec.recipe().empty()) job.mutable_spec()->set_recipe("quick");
  if (request->validate_only()) {
    *response->mutable_job() = job;
    return Status::OK;
  }
  job.set_job_id(absl::StrCat("job-", jobs_.size() + 1));
  job.set_state(proad::v1::TRAIN_JOB_STATE_QUEUED);
  job.mutable_create_time()->set_seconds(1700000000);
  jobs_.push_back({job, request->request_id(), ScriptOf(spec)});
  *response->mutable_job() = job;
  if (jobs_.back().script == "lost") return Status(StatusCode::UNAVAILABLE, "connection reset");
  return Status::OK;
}

Status ScriptedTrainingService::GetTrainJob(grpc::ServerContext*,
                                            const proad::v1::GetTrainJobRequest* request,
                                            proad::v1::GetTrainJobResponse* response) {
  const std::lock_guard lock(mutex_);
  const Job* const job = Find(request->job_id());
  if (!job) {
    return Error(StatusCode::NOT_FOUND, absl::StrCat("no job ", request->job_id()), "UNKNOWN_JOB");
  }
  *response->mutable_job() = job->job;
  return Status::OK;
}

Status ScriptedTrainingService::ListTrainJobs(grpc::ServerContext*,
                                              const proad::v1::ListTrainJobsRequest* request,
                                              proad::v1::ListTrainJobsResponse* response) {
  const std::lock_guard lock(mutex_);
  std::vector<const TrainJob*> found;
  for (auto job = jobs_.rbegin(); job != jobs_.rend(); ++job) {
    const auto& states = request->states();
    const bool state =
        states.empty() || std::find(states.begin(), states.end(), job->job.state()) != states.end();
    const bool model =
        request->model_name().empty() || request->model_name() == job->job.spec().model_name();
    if (state && model) found.push_back(&job->job);
  }
  const size_t first = request->page_token().empty() ? 0 : std::stoul(request->page_token());
  for (size_t i = first; i < std::min(found.size(), first + kPage); ++i) {
    *response->add_jobs() = *found[i];
  }
  if (first + kPage < found.size()) response->set_next_page_token(absl::StrCat(first + kPage));
  return Status::OK;
}

Status ScriptedTrainingService::CancelTrainJob(grpc::ServerContext*,
                                               const proad::v1::CancelTrainJobRequest* request,
                                               proad::v1::CancelTrainJobResponse* response) {
  const std::lock_guard lock(mutex_);
  Job* const job = Find(request->job_id());
  if (!job) return Error(StatusCode::NOT_FOUND, "no such job", "UNKNOWN_JOB");
  if (job->job.state() == proad::v1::TRAIN_JOB_STATE_SUCCEEDED ||
      job->job.state() == proad::v1::TRAIN_JOB_STATE_FAILED) {
    return Error(StatusCode::FAILED_PRECONDITION, "the job has ended already", "JOB_WRONG_STATE");
  }
  job->job.set_state(proad::v1::TRAIN_JOB_STATE_CANCELLED);
  job->job.set_reason("cancelled on request");
  job->job.set_reason_code("CANCELLED_BY_USER");
  changed_.notify_all();
  *response->mutable_job() = job->job;
  return Status::OK;
}

Status ScriptedTrainingService::ResumeTrainJob(grpc::ServerContext*,
                                               const proad::v1::ResumeTrainJobRequest* request,
                                               proad::v1::ResumeTrainJobResponse* response) {
  const std::lock_guard lock(mutex_);
  Job* const job = Find(request->job_id());
  if (!job) return Error(StatusCode::NOT_FOUND, "no such job", "UNKNOWN_JOB");
  if (job->job.state() == proad::v1::TRAIN_JOB_STATE_SUCCEEDED) {
    return Error(StatusCode::FAILED_PRECONDITION, "the job has succeeded", "JOB_WRONG_STATE");
  }
  if (HasEnded(job->job)) {
    job->job.set_state(proad::v1::TRAIN_JOB_STATE_QUEUED);
    job->job.clear_reason();
    job->job.clear_reason_code();
    job->script.clear();
  }
  *response->mutable_job() = job->job;
  return Status::OK;
}

Status ScriptedTrainingService::WatchTrainJob(
    grpc::ServerContext* context, const proad::v1::WatchTrainJobRequest* request,
    grpc::ServerWriter<proad::v1::WatchTrainJobResponse>* writer) {
  std::unique_lock lock(mutex_);
  Job* job = Find(request->job_id());
  if (!job) return Error(StatusCode::NOT_FOUND, "no such job", "UNKNOWN_JOB");
  const std::string script = job->script;
  const bool first = job->watches++ == 0;
  proad::v1::WatchTrainJobResponse report;
  if (script == "gone") return Status(StatusCode::UNAVAILABLE, "socket closed");
  const bool ends_early = first && (script == "interrupted" || script == "hung up");
  int reports = 0;
  for (const auto& change : Life(script)) {
    if (HasEnded(job->job)) break;
    change(job->job);
    *report.mutable_job() = job->job;
    if (HasEnded(job->job)) break;
    if (ends_early && ++reports > 2) {
      return script == "hung up" ? Status::OK : Status(StatusCode::UNAVAILABLE, "socket closed");
    }
    lock.unlock();
    writer->Write(report);
    lock.lock();
    job = Find(request->job_id());
  }
  while (!HasEnded(job->job) && !context->IsCancelled()) {
    changed_.wait_for(lock, std::chrono::milliseconds(20));
    job = Find(request->job_id());
  }
  *report.mutable_job() = job->job;
  lock.unlock();
  writer->Write(report);
  return Status::OK;
}

Status ScriptedTrainingService::UploadDataset(grpc::ServerContext*,
                                              grpc::ServerReader<UploadDatasetRequest>* reader,
                                              proad::v1::UploadDatasetResponse* response) {
  UploadDatasetRequest message;
  if (!reader->Read(&message) || !message.has_start()) {
    return Error(StatusCode::INVALID_ARGUMENT, "start must come first", "OUT_OF_TURN", "start");
  }
  const std::string id = message.start().dataset_id();
  {
    const std::lock_guard lock(mutex_);
    Dataset& dataset = datasets_[id];
    if (absl::StartsWith(id, "never")) return Status(StatusCode::UNAVAILABLE, "socket closed");
    if (dataset.complete) {
      return Error(StatusCode::ALREADY_EXISTS, absl::StrCat("dataset ", id, " is complete"),
                   "DATASET_COMPLETE");
    }
    if (absl::StartsWith(id, "held") && dataset.broken && ++dataset.refused == 1) {
      return Error(StatusCode::ABORTED, "another stream uploads it", "DATASET_BUSY");
    }
  }
  const Status status = Receive(id, *reader);
  if (status.ok()) Describe(id, response);
  return status;
}

Status ScriptedTrainingService::Receive(const std::string& id,
                                        grpc::ServerReader<UploadDatasetRequest>& reader) {
  const bool breaks = absl::StartsWith(id, "broken") || absl::StartsWith(id, "held");
  UploadDatasetRequest message;
  proad::v1::UploadFile file;
  std::string content;
  bool open = false;
  int whole = 0;
  while (reader.Read(&message)) {
    if (message.has_finish()) return Finish(id, message.finish().files());
    if (message.has_chunk()) {
      const std::lock_guard lock(mutex_);
      longest_chunk_ = std::max(longest_chunk_, message.chunk().size());
      content += message.chunk();
    } else if (message.has_file() && !open) {
      file = message.file();
      content.clear();
      open = true;
      const std::lock_guard lock(mutex_);
      ++announced_;
      if (breaks && whole == 1) {
        datasets_[id].broken = true;
        return Status(StatusCode::UNAVAILABLE, "socket closed");
      }
    } else {
      return Error(StatusCode::INVALID_ARGUMENT, "out of turn", "OUT_OF_TURN", "part");
    }
    if (content.size() < file.size_bytes()) continue;
    if (const Status kept = Keep(id, file, content); !kept.ok()) return kept;
    open = false;
    ++whole;
  }
  return Status::OK;
}

Status ScriptedTrainingService::Keep(const std::string& id, const proad::v1::UploadFile& file,
                                     const std::string& content) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(content.data()), content.size(), digest);
  const std::lock_guard lock(mutex_);
  auto& files = datasets_[id].files;
  if (content.size() != file.size_bytes() ||
      file.sha256() != std::string(reinterpret_cast<const char*>(digest), sizeof(digest))) {
    return Error(StatusCode::INVALID_ARGUMENT, file.path() + " arrived damaged", "DIGEST_MISMATCH",
                 "file.sha256");
  }
  if (!files.empty() && !(files.rbegin()->first < file.path())) {
    return Error(StatusCode::INVALID_ARGUMENT, file.path() + " is out of order", "OUT_OF_ORDER",
                 "file.path");
  }
  files[file.path()] = content;
  return Status::OK;
}

Status ScriptedTrainingService::Finish(const std::string& id, uint64_t files) {
  const std::lock_guard lock(mutex_);
  Dataset& dataset = datasets_[id];
  if (dataset.files.size() != files) {
    return Error(StatusCode::INVALID_ARGUMENT, "another number of files", "WRONG_COUNT",
                 "finish.files");
  }
  dataset.complete = true;
  if (absl::StartsWith(id, "silent")) return Status(StatusCode::UNAVAILABLE, "socket closed");
  return Status::OK;
}

void ScriptedTrainingService::Describe(const std::string& id,
                                       proad::v1::UploadDatasetResponse* response) {
  const std::lock_guard lock(mutex_);
  const Dataset& dataset = datasets_[id];
  uint64_t bytes = 0;
  for (const auto& [path, content] : dataset.files) bytes += content.size();
  response->set_dataset_id(id);
  response->set_complete(dataset.complete);
  response->set_files(dataset.files.size());
  response->set_size_bytes(bytes);
  if (!dataset.files.empty()) response->set_last_path(dataset.files.rbegin()->first);
}

size_t ScriptedTrainingService::Jobs() const {
  const std::lock_guard lock(mutex_);
  return jobs_.size();
}

std::map<std::string, std::string> ScriptedTrainingService::Files(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = datasets_.find(id);
  return found == datasets_.end() ? std::map<std::string, std::string>() : found->second.files;
}

size_t ScriptedTrainingService::LongestChunk() const {
  const std::lock_guard lock(mutex_);
  return longest_chunk_;
}

int ScriptedTrainingService::Announced() const {
  const std::lock_guard lock(mutex_);
  return announced_;
}

}  // namespace proad::testing
