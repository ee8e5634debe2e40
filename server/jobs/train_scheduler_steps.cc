// What happens to jobs by itself; train_scheduler.cc has what is asked for.
#include <algorithm>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/jobs/job_decision.h"
#include "server/jobs/scheduled_job.h"
#include "server/jobs/train_scheduler.h"
#include "server/telemetry/log.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr absl::Duration kRetry = absl::Seconds(1);             // what the disk refused
constexpr absl::Duration kRemovalInterval = absl::Minutes(10);  // of what is too old
constexpr size_t kLastWords = 2000;                             // of a trainer that died, in bytes

bool Exists(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

int ThreadsOf(int configured) {
  if (configured > 0) return configured;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

// ---------------------------------------------------------------- at the start

void TrainScheduler::Load(std::vector<StoredJob> stored) {
  for (StoredJob& found : stored) {
    auto job = std::make_unique<Job>();
    job->id = found.id;
    if (found.spec.ok()) job->spec = *std::move(found.spec);
    if (found.record.ok()) job->record = *std::move(found.record);
    job->damage.Update(found.spec.status());
    job->damage.Update(found.record.status());
    JobRecord& record = job->record;
    if (!job->damage.ok()) {
      if (!found.record.ok()) record.created = record.updated = TimeOfJobId(job->id);
      record.state = JobState::kFailed;
      record.reason = std::string(job->damage.message());
      record.reason_code = reason::kDataLoss;
      record.ended = std::max(record.ended, record.created);
      Log(LogLevel::kError, "a training job is damaged",
          {{"job", job->id}, {"error", job->damage}});
    }
    if (record.attempts > 0) {
      job->progress = ProgressReader(store_->Directory(job->id) / kProgressFile).Poll();
    }
    if (record.state == JobState::kSucceeded) {
      metrics_.train_last_success.Set(
          std::max(metrics_.train_last_success.Value(),
                   absl::ToDoubleSeconds(record.ended - absl::UnixEpoch())));
    }
    jobs_.emplace(job->id, std::move(job));
  }
  // Living trainers take their places first: there may be more of them than places.
  for (const bool living : {true, false}) {
    for (auto& [id, job] : jobs_) {
      if (job->record.state != JobState::kRunning || job->run != nullptr) continue;
      if ((TrainerLock::Holder(store_->Directory(id)) != 0) != living) continue;
      job->run = MakeRun(*job);
      Log(LogLevel::kInfo, living ? "training job goes on" : "training job has no trainer",
          {{"job", id}});
    }
  }
  for (auto& [id, job] : jobs_) Publish(*job);
  PublishQueue();
  RemoveOld(absl::Now());
  background_.Post([this] { store_->DeleteRemoved(); });
}

std::unique_ptr<RunningJob> TrainScheduler::MakeRun(const Job& job) {
  return std::make_unique<RunningJob>(store_->Directory(job.id), FreeSlot(),
                                      job.spec.train.recipe.batch_size, metrics_);
}

int TrainScheduler::FreeSlot() const {
  for (int slot = 0; slot < options_.concurrency; ++slot) {
    const bool taken = std::any_of(jobs_.begin(), jobs_.end(), [slot](const auto& entry) {
      return entry.second->run != nullptr && entry.second->run->slot() == slot;
    });
    if (!taken) return slot;
  }
  return -1;
}

int TrainScheduler::CountRunning() const {
  return static_cast<int>(std::count_if(
      jobs_.begin(), jobs_.end(), [](const auto& entry) { return entry.second->run != nullptr; }));
}

// ---------------------------------------------------------------- again and again

void TrainScheduler::Tick(absl::Time now) {
  bool checkpoint = false;
  {
    MutexLock lock(mutex_);
    stopping_seen_ = stopping_;
    checkpoint = stopping_ && checkpoint_;
  }
  if (checkpoint && !interrupted_) InterruptTrainers(now);
  for (auto& [id, job] : jobs_) {
    if (job->unsaved && now >= job->retry_at) Save(*job, now).IgnoreError();
    if (job->run != nullptr && !job->activating) Follow(*job, now);
  }
  if (!stopping_seen_) StartQueued(now);
  RemoveOld(now);
}

void TrainScheduler::InterruptTrainers(absl::Time now) {
  interrupted_ = true;
  stop_deadline_ = now + options_.checkpoint_grace;
  for (auto& [id, job] : jobs_) {
    if (job->run == nullptr || job->activating || !job->run->IsAlive()) continue;
    job->record.interrupted = true;
    Save(*job, now).IgnoreError();
    job->run->trainer().Terminate();
  }
}

void TrainScheduler::StartQueued(absl::Time now) {
  for (Job* const job : Queued()) {
    if (CountRunning() >= options_.concurrency) return;
    if (now < job->retry_at) continue;
    job->run = MakeRun(*job);
    StartTrainer(*job, now);
  }
}

void TrainScheduler::StartTrainer(Job& job, absl::Time now) {
  const JobRecord before = job.record;
  JobRecord& record = job.record;
  record.state = JobState::kRunning;
  if (record.started == absl::InfinitePast()) record.started = now;
  record.attempt_started = now;
  record.interrupted = false;
  ++record.attempts;
  // Written down first: a trainer that nobody knows of would never be missed.
  if (!Save(job, now).ok()) {
    record = before;
    job.unsaved = false;
    if (record.state == JobState::kQueued) job.run.reset();
    return;
  }
  const absl::Status started =
      job.run->Start({.program = options_.trainer,
                      .store = options_.store,
                      .nice = options_.nice,
                      .threads = ThreadsOf(options_.threads),
                      .feature_memory_bytes = options_.feature_memory_bytes,
                      .checkpoint_interval = options_.checkpoint_interval,
                      .image = options_.image});
  if (!started.ok()) {
    return Retire(job, JobState::kFailed, std::string(started.message()), reason::kTrainerDied,
                  now);
  }
  Log(LogLevel::kInfo, "training job started", {{"job", job.id}, {"attempt", record.attempts}});
  Publish(job);
}

void TrainScheduler::Follow(Job& job, absl::Time now) {
  const bool alive = job.run->IsAlive();
  if (TakeProgress(job)) Publish(job);
  if (!alive) {
    Conclude(job, now);
  } else if (!job.cancels.empty()) {
    StopOverdue(job, now);
  }
}

bool TrainScheduler::TakeProgress(Job& job) {
  auto record = job.run->Poll();
  if (!record) return false;
  job.progress = std::move(record);
  return true;
}

void TrainScheduler::StopOverdue(Job& job, absl::Time now) {
  switch (DecideStop(now, job.kill_at, job.phase())) {
    case StopStep::kWait:
      return;
    case StopStep::kKill:
      return job.run->trainer().Kill();
    case StopStep::kSpare:
      return AnswerCancels(job, PublishingError(job.id));
  }
}

// ---------------------------------------------------------------- when a trainer is gone

void TrainScheduler::Conclude(Job& job, absl::Time now) {
  if (now < job.retry_at && job.cancels.empty()) return;
  const std::filesystem::path directory = store_->Directory(job.id);
  const JobView view = {.alive = false,
                        .has_result = Exists(directory / kResultFile),
                        .has_error = Exists(directory / kErrorFile),
                        .cancelling = !job.cancels.empty(),
                        .stopping = stopping_seen_,
                        .checkpoint_step = job.progress ? job.progress->train.checkpoint_step : 0};
  const JobDecision decision = DecideRunning(job.record, view, options_.max_crashes);
  const JobRecord before = job.record;
  EndAttempt(job, now);
  job.record.crashes = decision.crashes;
  job.record.crash_step = view.checkpoint_step;
  switch (decision.step) {
    case JobStep::kWait:
      return;
    case JobStep::kFinish:
      return Finish(job, now);
    case JobStep::kFail:
      return FailAsTold(job, now);
    case JobStep::kCancel:
      return Retire(job, JobState::kCancelled, kCancelledReason, reason::kCancelledByUser, now);
    case JobStep::kLeave:
      job.record = before;
      job.run.reset();
      return;
    case JobStep::kGiveUp:
      return Retire(job, JobState::kFailed, LastWords(job), reason::kTrainerDied, now);
    case JobStep::kRestart:
      break;
  }
  Log(LogLevel::kWarning, "a trainer is gone; its job is started again",
      {{"job", job.id},
       {"ending", job.run->trainer().ending()},
       {"interrupted", job.record.interrupted},
       {"crashes", job.record.crashes}});
  if (job.run->slot() < 0) {  // more were found at work than may be
    job.record.state = JobState::kQueued;
    job.run.reset();
    Save(job, now).IgnoreError();
    return Publish(job);
  }
  StartTrainer(job, now);
  if (job.record.attempts == before.attempts) job.record = before;  // not written; tried again
}

void TrainScheduler::EndAttempt(Job& job, absl::Time now) {
  JobRecord& record = job.record;
  if (record.attempt_started == absl::InfinitePast()) return;
  // Of a trainer that died while no server looked, its last report is the best there is.
  const absl::Time last = job.progress ? job.progress->time : record.attempt_started;
  const absl::Time end = job.run->was_alive() ? now : last;
  record.ran += std::max(end - record.attempt_started, absl::ZeroDuration());
  record.attempt_started = absl::InfinitePast();
}

std::string TrainScheduler::LastWords(const Job& job) const {
  const std::string log = LogTail(store_->Directory(job.id), kLastWords);
  const std::string& ending = job.run->trainer().ending();
  return absl::StrCat("the training process died ", job.record.crashes,
                      " times without getting beyond the checkpoint of step ",
                      job.record.crash_step, ending.empty() ? "" : "; " + ending,
                      log.empty() ? "; it left no words" : "; its last words: " + log);
}

void TrainScheduler::FailAsTold(Job& job, absl::Time now) {
  const auto error = ReadError(store_->Directory(job.id));
  if (error.ok()) return Retire(job, JobState::kFailed, error->message, error->code, now);
  Retire(job, JobState::kFailed, std::string(error.status().message()), reason::kDataLoss, now);
}

void TrainScheduler::Finish(Job& job, absl::Time now) {
  auto outcome = ReadOutcome(store_->Directory(job.id));
  if (!outcome.ok()) {
    AnswerCancels(job, PublishingError(job.id));
    return Retire(job, JobState::kFailed, std::string(outcome.status().message()),
                  reason::kDataLoss, now);
  }
  DropScores(*outcome);
  job.record.outcome = *std::move(outcome);
  AnswerCancels(job, PublishingError(job.id));
  if (!job.spec.activate_on_success) return Retire(job, JobState::kSucceeded, "", "", now);
  const std::optional<model::GateVerdict>& gate = job.record.outcome->gate;
  if (gate && !gate->passed) {
    job.record.activation = Activation{.activated = false, .reason = gate->reason};
    return Retire(job, JobState::kSucceeded, "", "", now);
  }
  if (stopping_seen_) return job.run.reset();  // the next server does it
  BeginActivation(job);
}

void TrainScheduler::BeginActivation(Job& job) {
  job.activating = true;
  Publish(job);
  background_.Post(
      [this, id = job.id, name = job.spec.train.model_name, version = job.record.outcome->version] {
        const ActivationAttempt attempt = activate_(name, version);
        MutexLock lock(mutex_);
        commands_.push_back([this, id, attempt] { EndActivation(id, attempt); });
        wake_.NotifyAll();
      });
}

void TrainScheduler::EndActivation(const std::string& id, const ActivationAttempt& attempt) {
  Job* const job = Find(id);
  if (job == nullptr) return;
  const absl::Status& status = attempt.status;
  // The server shuts down, and Stop has not been called yet: the job stays as it is.
  if (!status.ok() && attempt.server_stops && !stopping_seen_) return;
  job->activating = false;
  if (stopping_seen_ && !status.ok()) return job->run.reset();  // the next server tries again
  job->record.activation =
      Activation{.activated = status.ok(), .reason = std::string(status.message())};
  Retire(*job, JobState::kSucceeded, "", "", absl::Now());
}

void TrainScheduler::Retire(Job& job, JobState state, const std::string& reason,
                            const std::string& reason_code, absl::Time now) {
  JobRecord& record = job.record;
  record.state = state;
  record.reason = reason;
  record.reason_code = reason_code;
  record.ended = now;
  record.attempt_started = absl::InfinitePast();
  record.interrupted = false;
  job.run.reset();
  job.kill_at = absl::InfiniteFuture();
  Save(job, now).IgnoreError();
  Log(state == JobState::kFailed ? LogLevel::kWarning : LogLevel::kInfo, "training job ended",
      {{"job", job.id}, {"state", NameOf(state)}, {"code", reason_code}, {"reason", reason}});
  next_removal_ = now;
  if (state == JobState::kFailed) metrics_.train_jobs_completed.failed.Increment();
  if (state == JobState::kCancelled) metrics_.train_jobs_completed.cancelled.Increment();
  if (state == JobState::kSucceeded) {
    metrics_.train_jobs_completed.succeeded.Increment();
    metrics_.train_last_success.Set(absl::ToDoubleSeconds(now - absl::UnixEpoch()));
    // Nothing goes on from there any more, and it may be large.
    if (!job.unsaved && store_->RemoveWork(job.id).ok()) {
      background_.Post([this] { store_->DeleteRemoved(); });
    }
  }
  Publish(job);
  AnswerCancels(job, absl::OkStatus());
}

void TrainScheduler::RemoveOld(absl::Time now) {
  if (now < next_removal_) return;
  next_removal_ = now + kRemovalInterval;
  std::vector<EndedJob> ended;
  for (const auto& [id, job] : jobs_) {
    if (HasEnded(job->record.state)) ended.push_back({id, job->record.ended});
  }
  bool removed = false;
  for (const std::string& id : JobsToRemove(ended, now, options_.keep_ended, options_.max_ended)) {
    if (const absl::Status status = store_->Remove(id); !status.ok()) {
      Log(LogLevel::kWarning, "cannot remove a training job", {{"job", id}, {"error", status}});
      continue;
    }
    removed = true;
    jobs_.erase(id);
    changed_.insert(id);
    MutexLock lock(mutex_);
    published_.erase(id);
  }
  if (!removed) return;
  CountStates();
  background_.Post([this] { store_->DeleteRemoved(); });
}

// ---------------------------------------------------------------- what is known and shown

absl::Status TrainScheduler::Save(Job& job, absl::Time now) {
  job.record.updated = now;
  const absl::Status status = WriteRecord(store_->Directory(job.id), job.record);
  if (status.ok()) {
    job.unsaved = false;
    return status;
  }
  if (!job.unsaved) {
    Log(LogLevel::kError, "a training job cannot be written down",
        {{"job", job.id}, {"error", status}});
  }
  job.unsaved = true;
  job.save_error = status;
  job.retry_at = now + kRetry;
  return status;
}

TrainJob TrainScheduler::View(const Job& job) const {
  const JobRecord& record = job.record;
  TrainJob view = {.id = job.id,
                   .request_id = record.request_id,
                   .spec = job.spec,
                   .state = record.state,
                   .reason = record.reason,
                   .reason_code = record.reason_code,
                   .created = record.created,
                   .started = record.started,
                   .ended = record.ended,
                   .updated = record.updated,
                   .queue_position = job.queue_position,
                   .attempts = record.attempts,
                   .progress = {},
                   .outcome = record.outcome,
                   .activation = record.activation};
  if (record.attempts == 0) return view;
  view.progress = JobProgress{.train = {}, .elapsed = record.ran};
  if (!job.progress) return view;
  view.progress->train = job.progress->train;
  view.updated = std::max(record.updated, job.progress->time);
  if (record.attempt_started != absl::InfinitePast()) {
    view.progress->elapsed +=
        std::max(job.progress->time - record.attempt_started, absl::ZeroDuration());
  }
  return view;
}

void TrainScheduler::Publish(const Job& job) {
  changed_.insert(job.id);
  CountStates();
  TrainJob view = View(job);
  MutexLock lock(mutex_);
  published_[job.id] = std::move(view);
}

void TrainScheduler::PublishQueue() {
  int position = 0;
  for (Job* const job : Queued()) {
    if (std::exchange(job->queue_position, position) != position) Publish(*job);
    ++position;
  }
}

std::vector<TrainScheduler::Job*> TrainScheduler::Queued() {
  std::vector<Job*> queued;
  for (auto& [id, job] : jobs_) {
    if (job->record.state == JobState::kQueued) {
      queued.push_back(job.get());
    } else {
      job->queue_position = 0;
    }
  }
  std::sort(queued.begin(), queued.end(), [](const Job* a, const Job* b) {
    return std::tie(a->record.queued, a->id) < std::tie(b->record.queued, b->id);
  });
  return queued;
}

void TrainScheduler::CountStates() {
  const auto count = [this](JobState state) {
    return static_cast<double>(std::count_if(jobs_.begin(), jobs_.end(), [state](const auto& e) {
      return e.second->record.state == state;
    }));
  };
  metrics_.train_jobs.queued.Set(count(JobState::kQueued));
  metrics_.train_jobs.running.Set(count(JobState::kRunning));
  metrics_.train_jobs.succeeded.Set(count(JobState::kSucceeded));
  metrics_.train_jobs.failed.Set(count(JobState::kFailed));
  metrics_.train_jobs.cancelled.Set(count(JobState::kCancelled));
}

TrainScheduler::Job* TrainScheduler::Find(const std::string& id) {
  const auto found = jobs_.find(id);
  return found == jobs_.end() ? nullptr : found->second.get();
}

}  // namespace proad::server
