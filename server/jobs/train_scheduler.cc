#include "server/jobs/train_scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/spec/last_checkpoint.h"
#include "server/jobs/job_machine.h"
#include "server/jobs/trainer_process.h"
#include "server/telemetry/log.h"
#include "server/util/exception_status.h"

namespace proad::server {
namespace {

constexpr absl::Duration kEndingPoll = absl::Milliseconds(10);  // while a trainer is to exit
constexpr absl::Duration kRetry = absl::Seconds(1);             // after a read that failed
constexpr size_t kLogTail = 2000;                               // bytes, of a trainer that crashed

int ThreadsOf(int configured) {
  if (configured > 0) return configured;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
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
  scheduler->table_.Load(*std::move(stored), absl::Now());
  scheduler->thread_ = std::thread([s = scheduler.get()] { s->Run(); });
  return scheduler;
}

TrainScheduler::TrainScheduler(const Options& options, Activate activate, Metrics& metrics,
                               std::unique_ptr<JobStore> store)
    : options_(options),
      activate_(std::move(activate)),
      watchers_(options.max_watchers),
      table_({.concurrency = options.concurrency,
              .max_queued = options.max_queued,
              .keep_ended = options.keep_ended,
              .max_ended = options.max_ended},
             std::move(store), snapshots_, metrics, background_),
      // Two threads, so that an activation does not wait for the deletion of files.
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
  NotifyWatchers();
  for (auto& [id, job] : table_.jobs()) AnswerCancels(*job, ShuttingDownError());
  MutexLock lock(mutex_);
  ended_ = true;
  answered_.NotifyAll();
}

// ---------------------------------------------------------------- calls

absl::StatusOr<TrainJob> TrainScheduler::Ask(absl::AnyInvocable<void(const CallPointer&)> command) {
  const auto call = std::make_shared<Call>();
  MutexLock lock(mutex_);
  if (stopping_) return ShuttingDownError();
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
  return snapshots_.FindRequest(request_id, request_digest);
}

absl::StatusOr<TrainJob> TrainScheduler::Get(const std::string& id) const {
  return snapshots_.Get(id);
}

std::vector<TrainJob> TrainScheduler::List() const { return snapshots_.List(); }

absl::StatusOr<std::unique_ptr<TrainScheduler::Subscription>> TrainScheduler::Subscribe(
    const std::string& id, std::function<void()> changed) {
  if (const auto job = snapshots_.Get(id); !job.ok()) return job.status();
  return watchers_.Add(id, std::move(changed));
}

// ---------------------------------------------------------------- the thread

void TrainScheduler::Run() {
  while (true) {
    RunCommands();
    const absl::Time now = absl::Now();
    Look(now);
    NotifyWatchers();
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
    stopping_seen_ = stopping_;  // an activation may have failed because of the shutdown
  }
  for (auto& command : commands) command();
}

void TrainScheduler::Look(absl::Time now) {
  {
    MutexLock lock(mutex_);
    stopping_seen_ = stopping_;
    interrupt_ = stopping_ && checkpoint_ && !interrupted_;
  }
  if (interrupt_) {
    interrupted_ = true;
    stop_deadline_ = now + options_.checkpoint_grace;
  }
  table_.WriteUnsaved(now);
  for (auto& [id, job] : table_.jobs()) {
    if (job->run != nullptr) Advance(*job, now);
  }
  for (ScheduledJob* const job : table_.Queued()) Advance(*job, now);
  table_.RemoveOld(now);
  interrupt_ = false;
}

void TrainScheduler::NotifyWatchers() {
  const std::set<std::string> changed = table_.TakeChanges();
  if (!changed.empty()) watchers_.Notify(changed);
}

absl::Time TrainScheduler::NextWake(absl::Time now) const {
  absl::Time wake = table_.next_removal();
  for (const auto& [id, job] : table_.jobs()) {
    if (job->unsaved) wake = std::min(wake, job->retry_at);
    if (job->run != nullptr && !job->activating) {
      const bool ending = !job->cancels.empty() || stopping_seen_;
      wake = std::min(wake, now + (ending ? kEndingPoll : options_.poll));
    } else if (job->state() == JobState::kQueued && job->retry_at > now) {
      wake = std::min(wake, job->retry_at);
    }
  }
  return wake;
}

bool TrainScheduler::MayEnd(absl::Time now) const {
  for (const auto& [id, job] : table_.jobs()) {
    if (job->run == nullptr || job->activating) continue;
    if (!job->cancels.empty()) return false;
    if (interrupted_ && now < stop_deadline_) return false;
  }
  return true;
}

// ---------------------------------------------------------------- commands

absl::StatusOr<TrainJob> TrainScheduler::DoCreate(const JobSpec& spec,
                                                  const std::string& request_id) {
  const absl::StatusOr<ScheduledJob*> job = table_.Create(spec, request_id, absl::Now());
  if (!job.ok()) return job.status();
  return (*job)->View();
}

void TrainScheduler::DoCancel(const std::string& id, const CallPointer& call) {
  ScheduledJob* const job = table_.Find(id);
  if (job == nullptr) return Answer(call, snapshots_.Get(id).status());
  const auto answer = [this, call](absl::StatusOr<TrainJob> result) {
    Answer(call, std::move(result));
  };
  if (!job->cancels.empty()) return job->cancels.push_back(answer);
  const absl::Time now = absl::Now();
  const absl::StatusOr<JobStep> step = CancelStep(job->record(), Observe(*job, now));
  if (!step.ok()) return answer(step.status());
  if (step->action == JobAction::kTerminateTrainer) {
    job->cancels.push_back(answer);
    job->kill_at = now + options_.stop_grace;
  }
  const absl::Status performed = Perform(*job, *step, now);
  if (!performed.ok()) return answer(performed);
  if (step->action != JobAction::kTerminateTrainer) answer(job->View());
}

void TrainScheduler::AnswerCancels(ScheduledJob& job, const absl::Status& refusal) {
  for (ScheduledJob::CancelAnswer& answer : std::exchange(job.cancels, {})) {
    if (!refusal.ok()) {
      std::move(answer)(refusal);
    } else if (job.unsaved) {
      std::move(answer)(job.write_error);
    } else {
      std::move(answer)(job.View());
    }
  }
}

absl::StatusOr<TrainJob> TrainScheduler::DoResume(const std::string& id) {
  ScheduledJob* const job = table_.Find(id);
  if (job == nullptr) return snapshots_.Get(id).status();
  const absl::Time now = absl::Now();
  const absl::StatusOr<JobStep> step = ResumeStep(job->record(), Observe(*job, now));
  if (!step.ok()) return step.status();
  if (step->write == JobWrite::kNone) return job->View();
  if (absl::Status prepared = PrepareResume(*job); !prepared.ok()) return prepared;
  if (absl::Status performed = Perform(*job, *step, now); !performed.ok()) return performed;
  Log(LogLevel::kInfo, "training job resumed", {{"job", id}});
  return job->View();
}

// Checks what Resume needs and removes result.json and error.json of the last attempt.
absl::Status TrainScheduler::PrepareResume(const ScheduledJob& job) {
  if (!job.damage.ok()) return job.damage;
  if (absl::Status room = table_.CheckQueueRoom(); !room.ok()) return room;
  try {
    model::FindLastCheckpoint(table_.store().Directory(job.id()) / kWorkDirectory);
  } catch (...) {
    return StatusOfCurrentException();
  }
  return table_.store().RemoveExitFiles(job.id());
}

// ---------------------------------------------------------------- one job

JobObservation TrainScheduler::Observe(ScheduledJob& job, absl::Time now) {
  JobObservation seen = {.now = now,
                         .stopping = stopping_seen_,
                         .interrupt = interrupt_,
                         .slot_free = job.run ? job.run->slot() >= 0 : table_.CountFreeSlots() > 0,
                         .backing_off = now < job.retry_at,
                         .id = job.id(),
                         .activate_on_success = job.spec().activate_on_success,
                         .followed = job.run != nullptr,
                         .activating = job.activating,
                         .cancelling = !job.cancels.empty(),
                         .kill_at = job.kill_at};
  if (job.run != nullptr && !job.activating) {
    // In this order: once the trainer is not alive, Poll and the files are complete.
    seen.trainer_alive = job.run->IsAlive();
    seen.trainer_seen_alive = job.run->was_alive();
    if (auto report = job.run->Poll()) {
      job.progress = std::move(report);
      table_.Publish(job);
    }
    if (!seen.trainer_alive && (!seen.backing_off || seen.cancelling)) {
      const std::filesystem::path directory = table_.store().Directory(job.id());
      seen.exit = ReadTrainerExit(directory);
      seen.trainer_ending = job.run->trainer().ending();
      seen.log_tail = LogTail(directory, kLogTail);
    }
  }
  seen.progress = job.progress;
  return seen;
}

void TrainScheduler::Advance(ScheduledJob& job, absl::Time now) {
  const JobObservation seen = Observe(job, now);
  const JobStep step = NextStep(job.record(), seen, options_.max_crashes);
  const bool crashed = seen.followed && !seen.trainer_alive && step.write != JobWrite::kNone &&
                       !HasEnded(step.record.state);
  if (crashed) {
    Log(LogLevel::kWarning, "the trainer of a job exited; the job is restarted",
        {{"job", job.id()},
         {"ending", seen.trainer_ending},
         {"interrupted", job.record().interrupted},
         {"crashes", step.record.crashes}});
  }
  if (step.action == JobAction::kBackOff && job.read_error.ok()) {
    Log(LogLevel::kError, "cannot read what a trainer left; trying again every second",
        {{"job", job.id()}, {"error", seen.exit.status()}});
  }
  job.read_error = step.action == JobAction::kBackOff ? seen.exit.status() : absl::OkStatus();
  Perform(job, step, now).IgnoreError();  // repeated at a later look
}

// Applies the step's record, performs its action, and answers the calls that wait for it.
absl::Status TrainScheduler::Perform(ScheduledJob& job, const JobStep& step, absl::Time now) {
  const bool changed = step.write != JobWrite::kNone || !(step.record == job.record());
  if (changed) {
    if (absl::Status applied = table_.Apply(job, step, now); !applied.ok()) return applied;
  }
  PerformAction(job, step.action, now);
  if (changed) table_.Publish(job);
  if (HasEnded(job.state()) || !step.cancel_refusal.ok()) AnswerCancels(job, step.cancel_refusal);
  return absl::OkStatus();
}

void TrainScheduler::PerformAction(ScheduledJob& job, JobAction action, absl::Time now) {
  switch (action) {
    case JobAction::kNone:
      return;
    case JobAction::kStartTrainer:
      return StartTrainer(job, now);
    case JobAction::kTerminateTrainer:
      return job.run->trainer().Terminate();
    case JobAction::kKillTrainer:
      return job.run->trainer().Kill();
    case JobAction::kActivate:
      return BeginActivation(job);
    case JobAction::kStopFollowing:
      job.run.reset();
      job.kill_at = absl::InfiniteFuture();
      return;
    case JobAction::kBackOff:
      job.retry_at = now + kRetry;
      return;
  }
}

void TrainScheduler::StartTrainer(ScheduledJob& job, absl::Time now) {
  if (job.run == nullptr) table_.Follow(job);
  const absl::Status started =
      job.run->Start({.program = options_.trainer,
                      .store = options_.store,
                      .nice = options_.nice,
                      .threads = ThreadsOf(options_.threads),
                      .feature_memory_bytes = options_.feature_memory_bytes,
                      .memory_limit_bytes = ComputeMemoryLimit(),
                      .checkpoint_interval = options_.checkpoint_interval,
                      .image = options_.image});
  if (!started.ok()) {
    const JobStep step = AfterFailedStart(job.record(), {.now = now, .id = job.id()}, started);
    return Perform(job, step, now).IgnoreError();
  }
  Log(LogLevel::kInfo, "training job started",
      {{"job", job.id()}, {"attempt", job.record().attempts}});
}

int64_t TrainScheduler::ComputeMemoryLimit() const {
  if (options_.memory_limit_bytes > 0) return options_.memory_limit_bytes;
  // Shared with the trainers that may start beside this one.
  return TrainerMemoryLimit(options_.measure_memory(), options_.server_memory,
                            table_.CountFreeSlots() + 1);
}

void TrainScheduler::BeginActivation(ScheduledJob& job) {
  job.activating = true;
  background_.Post([this, id = job.id(), name = job.spec().train.model_name,
                    version = job.record().outcome->version] {
    const ActivationAttempt attempt = activate_(name, version);
    MutexLock lock(mutex_);
    commands_.push_back([this, id, attempt] { EndActivation(id, attempt); });
    wake_.NotifyAll();
  });
}

void TrainScheduler::EndActivation(const std::string& id, const ActivationAttempt& attempt) {
  ScheduledJob* const job = table_.Find(id);
  if (job == nullptr) return;
  const absl::Time now = absl::Now();
  const JobStep step = AfterActivation(job->record(), Observe(*job, now), attempt);
  if (step.action == JobAction::kNone) return;
  job->activating = false;
  Perform(*job, step, now).IgnoreError();
}

}  // namespace proad::server
