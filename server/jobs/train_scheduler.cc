// What callers ask for, and the thread that answers them; train_scheduler_steps.cc has what happens
// to jobs by itself.
#include "server/jobs/train_scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "model/spec/checkmark.h"
#include "server/jobs/scheduled_job.h"
#include "server/telemetry/log.h"
#include "server/util/exception_status.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr absl::Duration kEndingPoll = absl::Milliseconds(10);  // while somebody waits for an end

absl::Status Stopping() {
  return MakeError(absl::StatusCode::kUnavailable,
                   "the server is shutting down; ask again elsewhere or later",
                   {.reason = reason::kDraining});
}

absl::Status RequestIdReused(const std::string& request_id, const std::string& job_id) {
  return MakeError(absl::StatusCode::kAlreadyExists,
                   absl::StrCat("request_id: ", Quote(request_id), " made job ", job_id,
                                " of another specification"),
                   {.reason = reason::kRequestIdReused,
                    .field = "request_id",
                    .metadata = {{"job_id", job_id}}});
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainScheduler>> TrainScheduler::Start(const Options& options,
                                                                      Activate activate,
                                                                      Metrics& metrics) {
  auto store = JobStore::Open(options.jobs);
  if (!store.ok()) return store.status();
  auto stored = (*store)->Load();
  if (!stored.ok()) return stored.status();
  std::unique_ptr<TrainScheduler> scheduler(
      new TrainScheduler(options, std::move(activate), metrics, *std::move(store)));
  scheduler->Load(*std::move(stored));
  scheduler->thread_ = std::thread([s = scheduler.get()] { s->Run(); });
  return scheduler;
}

TrainScheduler::TrainScheduler(const Options& options, Activate activate, Metrics& metrics,
                               std::unique_ptr<JobStore> store)
    : options_(options),
      activate_(std::move(activate)),
      metrics_(metrics),
      store_(std::move(store)),
      watchers_(options.max_watchers),
      // An activation must not wait for files to be deleted.
      background_({.name = "train", .threads = 2}) {}

TrainScheduler::~TrainScheduler() { End(/*checkpoint=*/false); }

void TrainScheduler::Stop() { End(options_.checkpoint_on_stop); }

void TrainScheduler::End(bool checkpoint) {
  {
    MutexLock lock(mutex_);
    const bool first = !stopping_;
    if (first) {
      stopping_ = true;
      checkpoint_ = checkpoint;
      wake_.NotifyAll();
    } else {
      while (!ended_) answered_.Wait(mutex_);
      return;
    }
  }
  if (thread_.joinable()) thread_.join();
  background_.Stop();
  RunCommands();  // activations that ended meanwhile
  TellWatchers();
  for (auto& [id, job] : jobs_) AnswerCancels(*job, Stopping());
  MutexLock lock(mutex_);
  ended_ = true;
  answered_.NotifyAll();
}

// ---------------------------------------------------------------- calls

absl::StatusOr<TrainJob> TrainScheduler::Ask(absl::AnyInvocable<void(const CallPointer&)> command) {
  const auto call = std::make_shared<Call>();
  MutexLock lock(mutex_);
  if (stopping_) return Stopping();
  commands_.push_back([command = std::move(command), call]() mutable { command(call); });
  wake_.NotifyAll();
  while (!call->answer) answered_.Wait(mutex_);
  return *std::move(call->answer);
}

void TrainScheduler::Answer(const CallPointer& call, absl::StatusOr<TrainJob> answer) {
  MutexLock lock(mutex_);
  call->answer = std::move(answer);
  answered_.NotifyAll();
}

absl::StatusOr<TrainJob> TrainScheduler::Create(const JobSpec& spec,
                                                const std::string& request_id) {
  return Ask([this, &spec, &request_id](const CallPointer& call) {
    Answer(call, DoCreate(spec, request_id));
  });
}

absl::StatusOr<TrainJob> TrainScheduler::Resume(const std::string& id) {
  return Ask([this, &id](const CallPointer& call) { Answer(call, DoResume(id)); });
}

absl::StatusOr<TrainJob> TrainScheduler::Cancel(const std::string& id) {
  return Ask([this, &id](const CallPointer& call) { DoCancel(id, call); });
}

absl::StatusOr<std::optional<TrainJob>> TrainScheduler::FindRequest(
    const std::string& request_id, const std::string& request_digest) const {
  MutexLock lock(mutex_);
  for (const auto& [id, job] : published_) {
    if (job.request_id != request_id) continue;
    if (job.spec.request_digest != request_digest) return RequestIdReused(request_id, id);
    return job;
  }
  return std::nullopt;
}

absl::StatusOr<TrainJob> TrainScheduler::Get(const std::string& id) const {
  MutexLock lock(mutex_);
  const auto found = published_.find(id);
  if (found == published_.end()) return UnknownJob(id);
  return found->second;
}

std::vector<TrainJob> TrainScheduler::List() const {
  MutexLock lock(mutex_);
  std::vector<TrainJob> jobs;
  jobs.reserve(published_.size());
  for (auto it = published_.rbegin(); it != published_.rend(); ++it) jobs.push_back(it->second);
  return jobs;
}

absl::StatusOr<std::unique_ptr<TrainScheduler::Subscription>> TrainScheduler::Subscribe(
    const std::string& id, std::function<void()> changed) {
  {
    MutexLock lock(mutex_);
    if (!published_.contains(id)) return UnknownJob(id);
  }
  return watchers_.Add(id, std::move(changed));
}

absl::Status TrainScheduler::UnknownJob(const std::string& id) const {
  constexpr size_t kListed = 20;
  std::vector<std::string> known;
  for (auto it = published_.rbegin(); it != published_.rend() && known.size() < kListed; ++it) {
    known.push_back(it->first);
  }
  const std::string more = published_.size() > known.size()
                               ? absl::StrCat(", and ", published_.size() - known.size(), " older")
                               : "";
  return MakeError(absl::StatusCode::kNotFound,
                   known.empty() ? absl::StrCat("no job ", Quote(id), "; there are none")
                                 : absl::StrCat("no job ", Quote(id),
                                                "; known: ", absl::StrJoin(known, ", "), more),
                   {.reason = reason::kJobUnknown, .field = "job_id"});
}

// ---------------------------------------------------------------- the thread

void TrainScheduler::Run() {
  while (true) {
    RunCommands();
    const absl::Time now = absl::Now();
    Tick(now);
    TellWatchers();
    MutexLock lock(mutex_);
    if (!commands_.empty()) continue;
    if (stopping_seen_ != stopping_) continue;
    if (stopping_seen_ && MayEnd(now)) return;
    wake_.WaitUntil(mutex_, NextWake(now));
  }
}

void TrainScheduler::RunCommands() {
  std::deque<absl::AnyInvocable<void()>> commands;
  {
    MutexLock lock(mutex_);
    commands.swap(commands_);
    stopping_seen_ = stopping_;  // what ended may have ended because of that
  }
  for (auto& command : commands) command();
}

void TrainScheduler::TellWatchers() {
  PublishQueue();
  std::set<std::string> changed;
  changed.swap(changed_);
  if (!changed.empty()) watchers_.Notify(changed);
}

absl::Time TrainScheduler::NextWake(absl::Time now) const {
  absl::Time wake = next_removal_;
  for (const auto& [id, job] : jobs_) {
    if (job->unsaved) wake = std::min(wake, job->retry_at);
    if (job->run == nullptr || job->activating) {
      if (job->record.state == JobState::kQueued && job->retry_at > now) {
        wake = std::min(wake, job->retry_at);
      }
      continue;
    }
    const bool ending = !job->cancels.empty() || stopping_seen_;
    wake = std::min(wake, now + (ending ? kEndingPoll : options_.poll));
  }
  return wake;
}

bool TrainScheduler::MayEnd(absl::Time now) const {
  for (const auto& [id, job] : jobs_) {
    if (job->run == nullptr || job->activating) continue;
    if (!job->cancels.empty()) return false;
    if (interrupted_ && now < stop_deadline_) return false;
  }
  return true;
}

// ---------------------------------------------------------------- what was asked for

absl::StatusOr<TrainJob> TrainScheduler::DoCreate(const JobSpec& spec,
                                                  const std::string& request_id) {
  if (!request_id.empty()) {
    for (const auto& [id, job] : jobs_) {
      if (job->record.request_id != request_id) continue;
      if (job->spec.request_digest == spec.request_digest) return View(*job);
      return RequestIdReused(request_id, id);
    }
  }
  if (absl::Status room = RoomInQueue(); !room.ok()) return room;
  auto job = std::make_unique<Job>();
  job->spec = spec;
  job->record.request_id = request_id;
  job->record.queued = job->record.updated = absl::Now();
  auto id = store_->Create(spec, job->record);
  if (!id.ok()) return id.status();
  job->id = *id;
  Job& added = *job;
  jobs_.emplace(*id, std::move(job));
  Log(LogLevel::kInfo, "training job created",
      {{"job", *id}, {"model", spec.train.model_name}, {"dataset", spec.train.dataset.string()}});
  Publish(added);
  PublishQueue();
  return View(added);
}

absl::Status TrainScheduler::RoomInQueue() {
  const size_t queued = Queued().size();
  if (queued < static_cast<size_t>(options_.max_queued)) return absl::OkStatus();
  return MakeError(absl::StatusCode::kResourceExhausted,
                   absl::StrCat(queued, " jobs wait already, and ", options_.max_queued,
                                " is the most that this server takes"),
                   {.reason = reason::kJobQueueFull,
                    .metadata = {{"max_queued", absl::StrCat(options_.max_queued)}}});
}

void TrainScheduler::DoCancel(const std::string& id, const CallPointer& call) {
  Job* const job = Find(id);
  if (job == nullptr) {
    absl::Status unknown;
    {
      MutexLock lock(mutex_);
      unknown = UnknownJob(id);
    }
    return Answer(call, unknown);
  }
  switch (job->record.state) {
    case JobState::kCancelled:
      return Answer(call, View(*job));
    case JobState::kSucceeded:
    case JobState::kFailed:
      return Answer(call,
                    WrongStateError(absl::StrCat("job ", id, " has ", NameOf(job->record.state),
                                                 "; only a job that is QUEUED or RUNNING can be "
                                                 "cancelled")));
    case JobState::kQueued:
      return Answer(call, CancelQueued(*job));
    case JobState::kRunning:
      break;
  }
  if (job->run == nullptr) return Answer(call, Stopping());
  TakeProgress(*job);
  if (job->activating || job->phase() == model::TrainPhase::kPublishing) {
    return Answer(call, PublishingError(job->id));
  }
  job->cancels.push_back(call);
  if (job->cancels.size() > 1) return;
  job->kill_at = absl::Now() + options_.stop_grace;
  job->run->trainer().Terminate();
}

absl::StatusOr<TrainJob> TrainScheduler::CancelQueued(Job& job) {
  const JobRecord before = job.record;
  Retire(job, JobState::kCancelled, kCancelledReason, reason::kCancelledByUser, absl::Now());
  if (job.unsaved) {
    job.record = before;
    job.unsaved = false;
    Publish(job);
    return job.save_error;
  }
  PublishQueue();
  return View(job);
}

void TrainScheduler::AnswerCancels(Job& job, const absl::Status& refusal) {
  for (const CallPointer& call : std::exchange(job.cancels, {})) {
    if (!refusal.ok()) {
      Answer(call, refusal);
    } else if (job.unsaved) {
      Answer(call, job.save_error);
    } else {
      Answer(call, View(job));
    }
  }
}

absl::Status TrainScheduler::CheckCheckpoint(const std::string& id) const {
  try {
    model::FindCheckpoint(store_->Directory(id) / kWorkDirectory);
    return absl::OkStatus();
  } catch (...) {
    return StatusOfCurrentException();
  }
}

absl::StatusOr<TrainJob> TrainScheduler::DoResume(const std::string& id) {
  Job* const job = Find(id);
  if (job == nullptr) {
    MutexLock lock(mutex_);
    return UnknownJob(id);
  }
  if (!HasEnded(job->record.state)) return View(*job);
  if (job->record.state == JobState::kSucceeded) {
    return WrongStateError(absl::StrCat("job ", id, " has SUCCEEDED; there is nothing to resume"));
  }
  if (!job->damage.ok()) return job->damage;
  if (absl::Status room = RoomInQueue(); !room.ok()) return room;
  if (absl::Status checked = CheckCheckpoint(id); !checked.ok()) return checked;
  if (absl::Status removed = store_->RemoveVerdict(id); !removed.ok()) return removed;
  const JobRecord before = job->record;
  JobRecord& record = job->record;
  record.state = JobState::kQueued;
  record.reason.clear();
  record.reason_code.clear();
  record.queued = absl::Now();
  record.ended = absl::InfinitePast();
  record.crashes = 0;
  record.crash_step = 0;
  if (absl::Status saved = Save(*job, record.queued); !saved.ok()) {
    record = before;
    job->unsaved = false;
    return saved;
  }
  Log(LogLevel::kInfo, "training job resumed", {{"job", id}});
  Publish(*job);
  PublishQueue();
  return View(*job);
}

}  // namespace proad::server
