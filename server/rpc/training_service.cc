#include "server/rpc/training_service.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/rpc/train_convert.h"
#include "server/util/quote.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr int kDefaultPageSize = 50;
constexpr int kMaxPageSize = 500;
constexpr size_t kMaxRequestId = 128;

absl::Status Draining() {
  return MakeError(absl::StatusCode::kUnavailable,
                   "the server is shutting down; jobs go on, ask again later or elsewhere",
                   {.reason = "DRAINING"});
}

absl::Status CheckRequestId(const std::string& id) {
  const bool plain = std::all_of(id.begin(), id.end(), [](char c) { return c >= ' ' && c < 0x7f; });
  if (plain && id.size() <= kMaxRequestId) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("request_id: ", Quote(id), " is not up to ", kMaxRequestId,
                                " bytes of printable ASCII"),
                   {.reason = "REQUEST_ID_INVALID", .field = "request_id"});
}

template <typename Response>
absl::Status Answer(const absl::StatusOr<TrainJob>& job, Response& response) {
  if (!job.ok()) return job.status();
  FillTrainJob(*job, *response.mutable_job());
  return absl::OkStatus();
}

// What a page is asked for with.
struct Page {
  std::vector<JobState> states;  // empty: any
  size_t size = kDefaultPageSize;
};

absl::StatusOr<Page> ParsePage(const v1::ListTrainJobsRequest& request) {
  Page page;
  for (const int number : request.states()) {
    const auto state = ParseState(static_cast<v1::TrainJobState>(number));
    if (!state) {
      return MakeError(absl::StatusCode::kInvalidArgument,
                       absl::StrCat("states: ", number, " is not a state of a job"),
                       {.reason = "ENUM_UNKNOWN", .field = "states"});
    }
    page.states.push_back(*state);
  }
  if (request.page_size() < 0) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("page_size: ", request.page_size(), " is negative; expected 0 (",
                                  kDefaultPageSize, ") to ", kMaxPageSize),
                     {.reason = "PAGE_SIZE_INVALID", .field = "page_size"});
  }
  if (request.page_size() > 0) {
    page.size = static_cast<size_t>(std::min(request.page_size(), kMaxPageSize));
  }
  return page;
}

}  // namespace

TrainingService::TrainingService(const JobPlanner& planner, TrainScheduler& scheduler,
                                 Metrics& metrics)
    : planner_(planner),
      scheduler_(scheduler),
      pool_({.name = "jobs", .threads = 4, .max_queued = 64}),
      readers_({.name = "job-readers", .threads = 1, .max_queued = 256}),
      create_metrics_(metrics, "CreateTrainJob"),
      get_metrics_(metrics, "GetTrainJob"),
      list_metrics_(metrics, "ListTrainJobs"),
      cancel_metrics_(metrics, "CancelTrainJob"),
      resume_metrics_(metrics, "ResumeTrainJob"),
      watch_metrics_(metrics, "WatchTrainJob") {}

TrainingService::~TrainingService() {
  pool_.Stop();
  readers_.Stop();
}

void TrainingService::Drain() {
  MutexLock lock(mutex_);
  draining_ = true;
  for (JobWatch* const watch : watches_) watch->Refuse(Draining());
}

grpc::ServerUnaryReactor* TrainingService::CreateTrainJob(grpc::CallbackServerContext* context,
                                                          const v1::CreateTrainJobRequest* request,
                                                          v1::CreateTrainJobResponse* response) {
  return AnswerOnPool(*context, pool_, create_metrics_,
                      [this, request, response] { return Create(*request, *response); });
}

grpc::ServerUnaryReactor* TrainingService::GetTrainJob(grpc::CallbackServerContext* context,
                                                       const v1::GetTrainJobRequest* request,
                                                       v1::GetTrainJobResponse* response) {
  return AnswerOnPool(*context, readers_, get_metrics_, [this, request, response] {
    return Answer(scheduler_.Get(request->job_id()), *response);
  });
}

grpc::ServerUnaryReactor* TrainingService::ListTrainJobs(grpc::CallbackServerContext* context,
                                                         const v1::ListTrainJobsRequest* request,
                                                         v1::ListTrainJobsResponse* response) {
  return AnswerOnPool(*context, readers_, list_metrics_,
                      [this, request, response] { return List(*request, *response); });
}

grpc::ServerUnaryReactor* TrainingService::CancelTrainJob(grpc::CallbackServerContext* context,
                                                          const v1::CancelTrainJobRequest* request,
                                                          v1::CancelTrainJobResponse* response) {
  return AnswerOnPool(*context, pool_, cancel_metrics_, [this, request, response] {
    return Answer(scheduler_.Cancel(request->job_id()), *response);
  });
}

grpc::ServerUnaryReactor* TrainingService::ResumeTrainJob(grpc::CallbackServerContext* context,
                                                          const v1::ResumeTrainJobRequest* request,
                                                          v1::ResumeTrainJobResponse* response) {
  return AnswerOnPool(*context, pool_, resume_metrics_, [this, request, response] {
    return Answer(scheduler_.Resume(request->job_id()), *response);
  });
}

grpc::ServerWriteReactor<v1::WatchTrainJobResponse>* TrainingService::WatchTrainJob(
    grpc::CallbackServerContext*, const v1::WatchTrainJobRequest* request) {
  const absl::Time start = absl::Now();
  auto* const watch = new JobWatch(scheduler_, request->job_id(),
                                   [this, start](JobWatch* ended, const absl::Status& end) {
                                     watch_metrics_.Answered(end.code(), absl::Now() - start);
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

absl::Status TrainingService::Create(const v1::CreateTrainJobRequest& request,
                                     v1::CreateTrainJobResponse& response) {
  if (absl::Status status = CheckRequestId(request.request_id()); !status.ok()) return status;
  absl::StatusOr<JobSpec> spec = ParseTrainJobSpec(request.spec());
  if (!spec.ok()) return spec.status();
  if (absl::Status status = planner_.Plan(*spec); !status.ok()) return status;
  if (request.validate_only()) {
    TrainJob job;
    job.spec = *std::move(spec);
    return Answer(job, response);
  }
  return Answer(scheduler_.Create(*spec, request.request_id()), response);
}

absl::Status TrainingService::List(const v1::ListTrainJobsRequest& request,
                                   v1::ListTrainJobsResponse& response) {
  const absl::StatusOr<Page> page = ParsePage(request);
  if (!page.ok()) return page.status();
  std::vector<TrainJob> jobs = scheduler_.List();
  std::erase_if(jobs, [&](const TrainJob& job) {
    const auto& states = page->states;
    return (!states.empty() && std::count(states.begin(), states.end(), job.state) == 0) ||
           (!request.model_name().empty() && job.spec.train.model_name != request.model_name());
  });
  auto next = jobs.begin();
  if (!request.page_token().empty()) {
    // The last job of the page before: ids sort by the time of creation, so that the page is found
    // although the job itself may be gone.
    next = std::find_if(jobs.begin(), jobs.end(),
                        [&](const TrainJob& job) { return job.id < request.page_token(); });
    const absl::StatusOr<TrainJob> last = scheduler_.Get(request.page_token());
    if (!last.ok() && next == jobs.end()) {
      return MakeError(absl::StatusCode::kInvalidArgument,
                       absl::StrCat("page_token: ", Quote(request.page_token()),
                                    " is not a next_page_token of this server"),
                       {.reason = "PAGE_TOKEN_INVALID", .field = "page_token"});
    }
  }
  for (; next != jobs.end(); ++next) {
    if (static_cast<size_t>(response.jobs_size()) == page->size) {
      response.set_next_page_token(response.jobs(response.jobs_size() - 1).job_id());
      break;
    }
    FillTrainJob(*next, *response.add_jobs());
  }
  return absl::OkStatus();
}

}  // namespace proad::server
