#include "server/jobs/job_table.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/jobs/progress_file.h"
#include "server/jobs/trainer_process.h"
#include "server/telemetry/log.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr absl::Duration kRetry = absl::Seconds(1);             // after a write that failed
constexpr absl::Duration kRemovalInterval = absl::Minutes(10);  // between looks for old jobs

// The job as it was found on the disk; FAILED when its files are damaged.
std::unique_ptr<ScheduledJob> MakeJob(StoredJob stored) {
  absl::Status damage = stored.spec.status();
  damage.Update(stored.record.status());
  JobRecord record = stored.record.value_or(JobRecord());
  if (!stored.record.ok()) record.created = record.updated = TimeOfJobId(stored.id);
  auto job = std::make_unique<ScheduledJob>(stored.id, stored.spec.value_or(JobSpec()), record);
  if (damage.ok()) return job;
  job->damage = damage;
  Log(LogLevel::kError, "the files of a training job are damaged",
      {{"job", stored.id}, {"error", damage}});
  // The time of the end decides when the job is removed. The record is not written, so it must be
  // the same after each restart.
  const JobObservation seen = {.now = std::max(record.ended, record.created), .id = stored.id};
  job->Replace(AfterDamage(record, seen, damage).record).IgnoreError();
  return job;
}

}  // namespace

JobTable::JobTable(const Options& options, std::unique_ptr<JobStore> store, JobSnapshots& snapshots,
                   Metrics& metrics, ThreadPool& background)
    : options_(options),
      store_(std::move(store)),
      snapshots_(snapshots),
      metrics_(metrics),
      background_(background) {}

void JobTable::Load(std::vector<StoredJob> stored, absl::Time now) {
  for (StoredJob& found : stored) {
    auto job = MakeJob(std::move(found));
    const JobRecord& record = job->record();
    if (record.attempts > 0) {
      job->progress = ProgressReader(store_->Directory(job->id()) / kProgressFile).Poll();
    }
    if (record.state == JobState::kSucceeded) {
      metrics_.train_last_success.Set(
          std::max(metrics_.train_last_success.Value(),
                   absl::ToDoubleSeconds(record.ended - absl::UnixEpoch())));
    }
    const std::string id = job->id();
    jobs_.emplace(id, std::move(job));
  }
  // There may be more live trainers than slots; a job without a live trainer can wait for one.
  for (const bool alive : {true, false}) {
    for (auto& [id, job] : jobs_) {
      if (job->state() != JobState::kRunning || job->run != nullptr) continue;
      if (TrainerProcess(store_->Directory(id)).IsAlive() != alive) continue;
      Follow(*job);
      Log(LogLevel::kInfo,
          alive ? "found the trainer of a job" : "the trainer of a job exited meanwhile",
          {{"job", id}});
    }
  }
  for (auto& [id, job] : jobs_) Publish(*job);
  PublishQueue();
  RemoveOld(now);
  DeleteRemoved();
}

absl::StatusOr<ScheduledJob*> JobTable::Create(const JobSpec& spec, const std::string& request_id,
                                               absl::Time now) {
  if (!request_id.empty()) {
    for (const auto& [id, job] : jobs_) {
      if (job->record().request_id != request_id) continue;
      if (job->spec().request_digest == spec.request_digest) return job.get();
      return RequestIdReusedError(request_id, id);
    }
  }
  if (absl::Status room = CheckQueueRoom(); !room.ok()) return room;
  JobRecord record;
  record.request_id = request_id;
  record.queued = record.updated = now;
  const absl::StatusOr<std::string> id = store_->Create(spec, record);
  if (!id.ok()) return id.status();
  auto& job = jobs_[*id] = std::make_unique<ScheduledJob>(*id, spec, std::move(record));
  Log(LogLevel::kInfo, "training job created",
      {{"job", *id}, {"model", spec.train.model_name}, {"dataset", spec.train.dataset.string()}});
  Publish(*job);
  PublishQueue();
  return job.get();
}

// ---------------------------------------------------------------- the record

absl::Status JobTable::Apply(ScheduledJob& job, const JobStep& step, absl::Time now) {
  JobRecord next = step.record;
  if (step.write != JobWrite::kNone) next.updated = now;
  if (step.write == JobWrite::kFirst) {
    if (absl::Status written = Write(job, next, now); !written.ok()) return written;
  }
  const bool ended = HasEnded(next.state) && !HasEnded(job.state());
  const bool queue_changes =
      (next.state == JobState::kQueued) != (job.state() == JobState::kQueued);
  if (absl::Status replaced = job.Replace(std::move(next)); !replaced.ok()) {
    Log(LogLevel::kError, "refused a transition of a training job", {{"error", replaced}});
    return replaced;
  }
  if (step.write == JobWrite::kEventually) {
    job.unsaved = !Write(job, job.record(), now).ok();
  }
  if (ended) OnEnded(job, now);
  if (queue_changes) PublishQueue();
  return absl::OkStatus();
}

absl::Status JobTable::Write(ScheduledJob& job, const JobRecord& record, absl::Time now) {
  absl::Status status = WriteRecord(store_->Directory(job.id()), record);
  if (status.ok()) {
    job.unsaved = false;
  } else {
    if (job.write_error.ok()) {
      Log(LogLevel::kError, "cannot write the record of a training job; trying again every second",
          {{"job", job.id()}, {"error", status}});
    }
    job.retry_at = now + kRetry;
  }
  job.write_error = status;
  return status;
}

void JobTable::WriteUnsaved(absl::Time now) {
  for (auto& [id, job] : jobs_) {
    if (job->unsaved && now >= job->retry_at) Write(*job, job->record(), now).IgnoreError();
  }
}

void JobTable::OnEnded(ScheduledJob& job, absl::Time now) {
  const JobRecord& record = job.record();
  Log(record.state == JobState::kFailed ? LogLevel::kWarning : LogLevel::kInfo,
      "training job ended",
      {{"job", job.id()},
       {"state", NameOf(record.state)},
       {"code", record.reason_code},
       {"reason", record.reason}});
  next_removal_ = now;
  if (record.state == JobState::kFailed) metrics_.train_jobs_completed.failed.Increment();
  if (record.state == JobState::kCancelled) metrics_.train_jobs_completed.cancelled.Increment();
  if (record.state != JobState::kSucceeded) return;
  metrics_.train_jobs_completed.succeeded.Increment();
  metrics_.train_last_success.Set(absl::ToDoubleSeconds(now - absl::UnixEpoch()));
  // A job that SUCCEEDED is never resumed, and its working directory may be large.
  if (!job.unsaved && store_->RemoveWork(job.id()).ok()) DeleteRemoved();
}

// ---------------------------------------------------------------- slots and the queue

ScheduledJob* JobTable::Find(const std::string& id) {
  const auto found = jobs_.find(id);
  return found == jobs_.end() ? nullptr : found->second.get();
}

void JobTable::Follow(ScheduledJob& job) {
  job.run = std::make_unique<RunningJob>(store_->Directory(job.id()), FreeSlot(),
                                         job.spec().train.recipe.batch_size, metrics_);
}

int JobTable::FreeSlot() const {
  for (int slot = 0; slot < options_.concurrency; ++slot) {
    const bool taken = std::any_of(jobs_.begin(), jobs_.end(), [slot](const auto& entry) {
      return entry.second->run != nullptr && entry.second->run->slot() == slot;
    });
    if (!taken) return slot;
  }
  return -1;
}

int JobTable::CountRunning() const {
  return static_cast<int>(std::count_if(
      jobs_.begin(), jobs_.end(), [](const auto& entry) { return entry.second->run != nullptr; }));
}

int JobTable::CountFreeSlots() const { return std::max(0, options_.concurrency - CountRunning()); }

std::vector<ScheduledJob*> JobTable::Queued() const {
  std::vector<ScheduledJob*> queued;
  for (const auto& [id, job] : jobs_) {
    if (job->state() == JobState::kQueued) queued.push_back(job.get());
  }
  std::sort(queued.begin(), queued.end(), [](const ScheduledJob* a, const ScheduledJob* b) {
    return std::tie(a->record().queued, a->id()) < std::tie(b->record().queued, b->id());
  });
  return queued;
}

absl::Status JobTable::CheckQueueRoom() const {
  const size_t queued = Queued().size();
  if (queued < static_cast<size_t>(options_.max_queued)) return absl::OkStatus();
  return MakeError(absl::StatusCode::kResourceExhausted,
                   absl::StrCat(queued, " jobs are queued already; this server queues at most ",
                                options_.max_queued),
                   {.reason = reason::kJobQueueFull,
                    .metadata = {{"max_queued", absl::StrCat(options_.max_queued)}}});
}

// ---------------------------------------------------------------- old jobs

void JobTable::RemoveOld(absl::Time now) {
  if (now < next_removal_) return;
  next_removal_ = now + kRemovalInterval;
  std::vector<EndedJob> ended;
  for (const auto& [id, job] : jobs_) {
    if (HasEnded(job->state())) ended.push_back({id, job->record().ended});
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
    snapshots_.Remove(id);
  }
  if (!removed) return;
  CountStates();
  DeleteRemoved();
}

void JobTable::DeleteRemoved() {
  background_.Post([store = store_.get()] { store->DeleteRemoved(); });
}

// ---------------------------------------------------------------- what callers see

void JobTable::Publish(const ScheduledJob& job) {
  changed_.insert(job.id());
  CountStates();
  snapshots_.Put(job.View());
}

void JobTable::PublishQueue() {
  int position = 0;
  for (ScheduledJob* const job : Queued()) {
    if (std::exchange(job->queue_position, position) != position) Publish(*job);
    ++position;
  }
}

std::set<std::string> JobTable::TakeChanges() {
  PublishQueue();
  return std::exchange(changed_, {});
}

void JobTable::CountStates() {
  const auto count = [this](JobState state) {
    return static_cast<double>(std::count_if(
        jobs_.begin(), jobs_.end(), [state](const auto& e) { return e.second->state() == state; }));
  };
  metrics_.train_jobs.queued.Set(count(JobState::kQueued));
  metrics_.train_jobs.running.Set(count(JobState::kRunning));
  metrics_.train_jobs.succeeded.Set(count(JobState::kSucceeded));
  metrics_.train_jobs.failed.Set(count(JobState::kFailed));
  metrics_.train_jobs.cancelled.Set(count(JobState::kCancelled));
}

}  // namespace proad::server
