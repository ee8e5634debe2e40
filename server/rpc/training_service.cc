#include "server/rpc/training_service.h"

#include <proad/v1/model.grpc.pb.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/files/sha256.h"
#include "server/rpc/train_job_message.h"
#include "server/rpc/train_spec_parser.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

const char* const kService = v1::TrainingService::service_full_name();
constexpr int kDefaultPageSize = 50;
constexpr int kMaxPageSize = 500;
constexpr size_t kMaxRequestId = 128;

absl::Status Draining() {
  return MakeError(absl::StatusCode::kUnavailable,
                   "the server is shutting down; call again later or call another server",
                   {.reason = reason::kDraining});
}

// A stream that has not begun its upload holds a message in memory as well.
constexpr size_t kStreamsPerUpload = 2;

absl::Status TooManyUploads(int max_uploads) {
  return MakeError(absl::StatusCode::kResourceExhausted,
                   absl::StrCat("too many upload streams are open; ", max_uploads,
                                " uploads at once are accepted"),
                   {.reason = reason::kTooManyUploads, .retry_after = absl::Seconds(5)});
}

absl::Status CheckRequestId(const std::string& id) {
  const bool plain = std::all_of(id.begin(), id.end(), [](char c) { return c >= ' ' && c < 0x7f; });
  if (plain && id.size() <= kMaxRequestId) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("request_id: ", Quote(id), " is not up to ", kMaxRequestId,
                                " bytes of printable ASCII"),
                   {.reason = reason::kRequestIdInvalid, .field = "request_id"});
}

template <typename Response>
absl::Status Answer(const absl::StatusOr<TrainJob>& job, Response& response) {
  if (!job.ok()) return job.status();
  FillTrainJob(*job, *response.mutable_job());
  return absl::OkStatus();
}

// The parameters of a page of jobs.
struct Page {
  std::vector<JobState> states;  // sorted; empty: any
  std::string model_name;        // empty: any
  size_t size = kDefaultPageSize;
  std::string after;  // id of the last job of the previous page; empty: the first page

  bool Wants(const TrainJob& job) const {
    return (states.empty() || std::binary_search(states.begin(), states.end(), job.state)) &&
           (model_name.empty() || job.spec.train.model_name == model_name) &&
           // Ids sort by the time of creation, so the page continues even when that job is gone.
           (after.empty() || job.id < after);
  }

  // "ID.CHECK", with a checksum of the id and the filter.
  std::string TokenAfter(const std::string& id) const {
    constexpr size_t kCheckDigits = 16;
    std::string text = absl::StrCat(id, "\n", model_name);
    for (const JobState state : states) absl::StrAppend(&text, "\n", static_cast<int>(state));
    return absl::StrCat(id, ".", model::Sha256Hex(text).substr(0, kCheckDigits));
  }
};

absl::StatusOr<Page> ParsePage(const v1::ListTrainJobsRequest& request) {
  Page page;
  for (const int number : request.states()) {
    const auto state = ParseState(static_cast<v1::TrainJobState>(number));
    if (!state) {
      return MakeError(absl::StatusCode::kInvalidArgument,
                       absl::StrCat("states: ", number, " is not a state of a job"),
                       {.reason = reason::kEnumUnknown, .field = "states"});
    }
    page.states.push_back(*state);
  }
  std::sort(page.states.begin(), page.states.end());
  page.states.erase(std::unique(page.states.begin(), page.states.end()), page.states.end());
  page.model_name = request.model_name();
  if (request.page_size() < 0) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("page_size: ", request.page_size(), " is negative; expected 0 (",
                                  kDefaultPageSize, ") to ", kMaxPageSize),
                     {.reason = reason::kPageSizeInvalid, .field = "page_size"});
  }
  if (request.page_size() > 0) {
    page.size = static_cast<size_t>(std::min(request.page_size(), kMaxPageSize));
  }
  const std::string& token = request.page_token();
  const std::string after = token.substr(0, token.rfind('.'));
  if (!token.empty() && token != page.TokenAfter(after)) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("page_token: ", Quote(token),
                                  " is not a next_page_token of this server for this filter"),
                     {.reason = reason::kPageTokenInvalid, .field = "page_token"});
  }
  page.after = after;
  return page;
}

// The role that a call needs, beyond the table of roles, to queue a job. Activating a version on
// success needs the role of ActivateModel; otherwise role "train" could decide which version serves.
Role RoleToRun(bool activate_on_success) {
  return activate_on_success
             ? RoleFor(absl::StrCat(v1::ModelService::service_full_name(), ".ActivateModel"))
             : Role::kNone;
}

}  // namespace

TrainingService::TrainingService(const JobPlanner& planner, TrainScheduler& scheduler,
                                 DatasetStore& datasets, Authorizer& authorizer, Metrics& metrics)
    : planner_(planner),
      scheduler_(scheduler),
      datasets_(datasets),
      creating_({.name = "job-create", .threads = 2, .max_queued = 64}),
      changing_({.name = "job-change", .threads = 4, .max_queued = 64}),
      reading_({.name = "job-read", .threads = 1, .max_queued = 256}),
      uploading_({.name = "upload", .threads = 2}),
      create_guard_(authorizer, metrics, kService, "CreateTrainJob"),
      get_guard_(authorizer, metrics, kService, "GetTrainJob"),
      list_guard_(authorizer, metrics, kService, "ListTrainJobs"),
      cancel_guard_(authorizer, metrics, kService, "CancelTrainJob"),
      resume_guard_(authorizer, metrics, kService, "ResumeTrainJob"),
      watch_guard_(authorizer, metrics, kService, "WatchTrainJob"),
      upload_guard_(authorizer, metrics, kService, "UploadDataset") {}

TrainingService::~TrainingService() {
  for (ThreadPool* pool : {&creating_, &changing_, &reading_, &uploading_}) pool->Stop();
}

void TrainingService::Drain() {
  MutexLock lock(mutex_);
  draining_ = true;
  for (JobWatch* const watch : watches_) watch->Refuse(Draining());
  for (DatasetUploadStream* const upload : uploads_) upload->Refuse(Draining());
}

bool TrainingService::draining() {
  MutexLock lock(mutex_);
  return draining_;
}

grpc::ServerUnaryReactor* TrainingService::OnPool(grpc::CallbackServerContext& context,
                                                  ThreadPool& pool, RpcGuard& guard,
                                                  absl::AnyInvocable<absl::Status() &&> work,
                                                  Role needed) {
  return AnswerOnPool(
      context, pool, guard,
      [this, work = std::move(work)]() mutable {
        return draining() ? Draining() : std::move(work)();
      },
      needed);
}

grpc::ServerUnaryReactor* TrainingService::CreateTrainJob(grpc::CallbackServerContext* context,
                                                          const v1::CreateTrainJobRequest* request,
                                                          v1::CreateTrainJobResponse* response) {
  return OnPool(
      *context, creating_, create_guard_,
      [this, request, response] { return Create(*request, *response); },
      RoleToRun(request->spec().activate_on_success()));
}

grpc::ServerUnaryReactor* TrainingService::GetTrainJob(grpc::CallbackServerContext* context,
                                                       const v1::GetTrainJobRequest* request,
                                                       v1::GetTrainJobResponse* response) {
  return OnPool(*context, reading_, get_guard_, [this, request, response] {
    return Answer(scheduler_.Get(request->job_id()), *response);
  });
}

grpc::ServerUnaryReactor* TrainingService::ListTrainJobs(grpc::CallbackServerContext* context,
                                                         const v1::ListTrainJobsRequest* request,
                                                         v1::ListTrainJobsResponse* response) {
  return OnPool(*context, reading_, list_guard_,
                [this, request, response] { return List(*request, *response); });
}

grpc::ServerUnaryReactor* TrainingService::CancelTrainJob(grpc::CallbackServerContext* context,
                                                          const v1::CancelTrainJobRequest* request,
                                                          v1::CancelTrainJobResponse* response) {
  return OnPool(*context, changing_, cancel_guard_, [this, request, response] {
    return Answer(scheduler_.Cancel(request->job_id()), *response);
  });
}

grpc::ServerUnaryReactor* TrainingService::ResumeTrainJob(grpc::CallbackServerContext* context,
                                                          const v1::ResumeTrainJobRequest* request,
                                                          v1::ResumeTrainJobResponse* response) {
  const absl::StatusOr<TrainJob> job = scheduler_.Get(request->job_id());
  return OnPool(
      *context, changing_, resume_guard_,
      [this, request, response] { return Answer(scheduler_.Resume(request->job_id()), *response); },
      RoleToRun(job.ok() && job->spec.activate_on_success));
}

grpc::ServerWriteReactor<v1::WatchTrainJobResponse>* TrainingService::WatchTrainJob(
    grpc::CallbackServerContext* context, const v1::WatchTrainJobRequest* request) {
  if (const auto caller = watch_guard_.Admit(*context); !caller.ok()) {
    return new RefusedCall<grpc::ServerWriteReactor<v1::WatchTrainJobResponse>>(caller.status());
  }
  const absl::Time start = absl::Now();
  auto* const watch = new JobWatch(
      scheduler_, request->job_id(), [this, start](JobWatch* ended, const absl::Status& end) {
        watch_guard_.metrics().Answered(end.code(), absl::Now() - start);
        {
          MutexLock lock(mutex_);
          watches_.erase(ended);
        }
        delete ended;
      });
  bool draining = false;
  {
    MutexLock lock(mutex_);
    watches_.insert(watch);
    draining = draining_;
  }
  if (draining) {
    watch->Refuse(Draining());
  } else {
    watch->Start();
  }
  return watch;
}

grpc::ServerReadReactor<v1::UploadDatasetRequest>* TrainingService::UploadDataset(
    grpc::CallbackServerContext* context, v1::UploadDatasetResponse* response) {
  if (const auto caller = upload_guard_.Admit(*context); !caller.ok()) {
    return new RefusedCall<grpc::ServerReadReactor<v1::UploadDatasetRequest>>(caller.status());
  }
  const absl::Time start = absl::Now();
  auto* const upload =
      new DatasetUploadStream(datasets_, uploading_, *response,
                              [this, start](DatasetUploadStream* ended, const absl::Status& end) {
                                upload_guard_.metrics().Answered(end.code(), absl::Now() - start);
                                {
                                  MutexLock lock(mutex_);
                                  uploads_.erase(ended);
                                }
                                delete ended;
                              });
  absl::Status refused;
  {
    MutexLock lock(mutex_);
    uploads_.insert(upload);
    if (draining_) {
      refused = Draining();
    } else if (uploads_.size() > kStreamsPerUpload * datasets_.options().max_uploads) {
      refused = TooManyUploads(datasets_.options().max_uploads);
    }
  }
  if (refused.ok()) {
    upload->Start();
  } else {
    upload->Refuse(refused);
  }
  return upload;
}

absl::Status TrainingService::Create(const v1::CreateTrainJobRequest& request,
                                     v1::CreateTrainJobResponse& response) {
  if (absl::Status status = CheckRequestId(request.request_id()); !status.ok()) return status;
  absl::StatusOr<JobSpec> spec = ParseTrainJobSpec(request.spec());
  if (!spec.ok()) return spec.status();
  if (!request.request_id().empty() && !request.validate_only()) {
    // Before the planner reads the disk: the spec may resolve to other files by now.
    const auto made = scheduler_.FindRequest(request.request_id(), spec->request_digest);
    if (!made.ok()) return made.status();
    if (made->has_value()) return Answer(absl::StatusOr<TrainJob>(**made), response);
  }
  if (absl::Status status = planner_.Plan(*spec); !status.ok()) return status;
  if (request.validate_only()) {
    TrainJob job;
    job.spec = *std::move(spec);
    return Answer(absl::StatusOr<TrainJob>(std::move(job)), response);
  }
  return Answer(scheduler_.Create(*spec, request.request_id()), response);
}

absl::Status TrainingService::List(const v1::ListTrainJobsRequest& request,
                                   v1::ListTrainJobsResponse& response) {
  const absl::StatusOr<Page> page = ParsePage(request);
  if (!page.ok()) return page.status();
  for (const TrainJob& job : scheduler_.List()) {
    if (!page->Wants(job)) continue;
    if (static_cast<size_t>(response.jobs_size()) == page->size) {
      response.set_next_page_token(
          page->TokenAfter(response.jobs(response.jobs_size() - 1).job_id()));
      break;
    }
    FillTrainJob(job, *response.add_jobs());
  }
  return absl::OkStatus();
}

}  // namespace proad::server
