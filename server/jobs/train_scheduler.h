// Takes training jobs, runs as many at once as it may, each in a process of its own, and tells who
// watches.
//
// What Create has returned survives the death of this process and of the trainer's at any instant:
// a new scheduler over the same directory finds every job, goes on watching trainers that still
// live, and starts again those that do not.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/picture/image.h"
#include "server/jobs/job_store.h"
#include "server/jobs/job_watchers.h"
#include "server/jobs/running_job.h"
#include "server/jobs/train_job.h"
#include "server/telemetry/metrics.h"
#include "server/util/mutex.h"
#include "server/util/thread_pool.h"

namespace proad::server {

// The result of activating a version.
struct ActivationAttempt {
  absl::Status status;
  // When `status` is an error: this server shuts down, and the next one activates the version.
  bool server_stops = false;

  ActivationAttempt(absl::Status result, bool stops = false)  // NOLINT: a status is a result
      : status(std::move(result)), server_stops(stops) {}
};

// Makes a published version the one that serves its name; ModelLifecycle::Activate. May block.
using Activate =
    std::function<ActivationAttempt(const std::string& name, const std::string& version)>;

// Thread-safety: all methods may be called from any thread. None blocks on a trainer, except Cancel
// and Stop; Create, Cancel and Resume wait for the disk.
class TrainScheduler {
 public:
  struct Options {
    std::filesystem::path jobs = "/var/lib/proad/jobs";  // JOBS/<id>/, made when absent
    std::filesystem::path store;                         // gets the versions
    std::filesystem::path trainer;                       // the program proad-trainer
    int concurrency = 1;                                 // jobs that run at once
    int max_queued = 64;
    int max_watchers = 256;
    int nice = 10;                                    // of the trainer, 0..19
    int threads = 0;                                  // of the trainer; 0: one a core
    int64_t feature_memory_bytes = int64_t{2} << 30;  // of one trainer
    absl::Duration checkpoint_interval = absl::Seconds(10);
    model::ImageLimits image;  // of the pictures that it reads
    int max_crashes = 3;       // without a new checkpoint, then the job FAILED
    absl::Duration keep_ended = absl::Hours(24 * 30);
    int max_ended = 1000;                                  // the oldest go first
    absl::Duration poll = absl::Milliseconds(100);         // how often progress is looked for
    absl::Duration stop_grace = absl::Milliseconds(1500);  // SIGTERM, then SIGKILL
    bool checkpoint_on_stop = true;                        // Stop saves what runs, and ends it
    absl::Duration checkpoint_grace = absl::Seconds(10);   // Stop waits for that so long
  };

  // Reads the jobs that there are and goes on with them. FAILED_PRECONDITION, PERMISSION_DENIED or
  // INTERNAL naming the path where the directory cannot be used.
  static absl::StatusOr<std::unique_ptr<TrainScheduler>> Start(const Options& options,
                                                               Activate activate, Metrics& metrics);
  // Leaves running trainers alone: they go on, and the next scheduler finds them.
  ~TrainScheduler();

  // Writes the job down, then returns it. `spec` is checked by the caller.
  //   ALREADY_EXISTS       request_id was used for another request; names the job
  //   RESOURCE_EXHAUSTED   the queue is full (JOB_QUEUE_FULL), or the disk (DISK_FULL)
  //   UNAVAILABLE          stopping
  absl::StatusOr<TrainJob> Create(const JobSpec& spec, const std::string& request_id);

  // The job that a request with this id has made; nullopt when there is none. ALREADY_EXISTS as
  // Create.
  absl::StatusOr<std::optional<TrainJob>> FindRequest(const std::string& request_id,
                                                      const std::string& request_digest) const;

  // NOT_FOUND; lists known jobs, bounded.
  absl::StatusOr<TrainJob> Get(const std::string& id) const;

  // Newest first.
  std::vector<TrainJob> List() const;

  // Ends a job; returns when its process is gone, within stop_grace and a little.
  //   NOT_FOUND, FAILED_PRECONDITION (SUCCEEDED, FAILED, or publishing: JOB_WRONG_STATE),
  //   UNAVAILABLE (stopping)
  absl::StatusOr<TrainJob> Cancel(const std::string& id);

  // Puts a job that has ended back into the queue; one that has not stays as it is. Whether its
  // pictures are still the same the trainer finds out (DATASET_CHANGED).
  //   NOT_FOUND, FAILED_PRECONDITION (SUCCEEDED: JOB_WRONG_STATE), DATA_LOSS (its files, its
  //   checkpoint), RESOURCE_EXHAUSTED (JOB_QUEUE_FULL, DISK_FULL), UNAVAILABLE (stopping)
  absl::StatusOr<TrainJob> Resume(const std::string& id);

  // Calls `changed` after every change of the job, from a thread of the scheduler, with no lock
  // held, until the subscription is destroyed; when its destructor returns, no call is under way.
  // `changed` must not block and must not destroy the subscription; it asks Get for what changed.
  //   NOT_FOUND, RESOURCE_EXHAUSTED (TOO_MANY_WATCHERS)
  using Subscription = JobWatchers::Subscription;
  absl::StatusOr<std::unique_ptr<Subscription>> Subscribe(const std::string& id,
                                                          std::function<void()> changed);

  // Creates nothing and starts nothing more. With Options::checkpoint_on_stop trainers save their
  // state and end, to be started again by the next scheduler; otherwise they go on. Idempotent.
  void Stop();

 private:
  // A job as the scheduler's thread knows it.
  struct Job;
  // A call that waits for its answer.
  struct Call;
  using CallPointer = std::shared_ptr<Call>;

  TrainScheduler(const Options& options, Activate activate, Metrics& metrics,
                 std::unique_ptr<JobStore> store);

  // Any thread.
  absl::StatusOr<TrainJob> Ask(absl::AnyInvocable<void(const CallPointer&)> command);
  void Answer(const CallPointer& call, absl::StatusOr<TrainJob> answer);
  absl::Status UnknownJob(const std::string& id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(bool checkpoint);

  // What follows belongs to the scheduler's thread; before it starts and after it ended, to who
  // starts and ends it.
  void Run();
  void RunCommands();
  void TellWatchers();
  absl::Time NextWake(absl::Time now) const;
  bool MayEnd(absl::Time now) const;

  absl::StatusOr<TrainJob> DoCreate(const JobSpec& spec, const std::string& request_id);
  absl::StatusOr<TrainJob> DoResume(const std::string& id);
  void DoCancel(const std::string& id, const CallPointer& call);
  absl::StatusOr<TrainJob> CancelQueued(Job& job);
  void AnswerCancels(Job& job, const absl::Status& refusal);  // OK: with the job as it is
  absl::Status RoomInQueue();
  absl::Status CheckCheckpoint(const std::string& id) const;

  void Load(std::vector<StoredJob> stored);
  std::unique_ptr<RunningJob> MakeRun(const Job& job);
  int FreeSlot() const;
  int CountRunning() const;

  void Tick(absl::Time now);
  void InterruptTrainers(absl::Time now);
  void StartQueued(absl::Time now);
  void StartTrainer(Job& job, absl::Time now);
  void Follow(Job& job, absl::Time now);
  bool TakeProgress(Job& job);
  void StopOverdue(Job& job, absl::Time now);
  void Conclude(Job& job, absl::Time now);
  void EndAttempt(Job& job, absl::Time now);
  std::string LastWords(const Job& job) const;
  void FailAsTold(Job& job, absl::Time now);
  void Finish(Job& job, absl::Time now);
  void BeginActivation(Job& job);
  void EndActivation(const std::string& id, const ActivationAttempt& attempt);
  void Retire(Job& job, JobState state, const std::string& reason, const std::string& reason_code,
              absl::Time now);
  void RemoveOld(absl::Time now);

  absl::Status Save(Job& job, absl::Time now);
  TrainJob View(const Job& job) const;
  void Publish(const Job& job);
  void PublishQueue();
  void CountStates();
  std::vector<Job*> Queued();
  Job* Find(const std::string& id);

  const Options options_;
  const Activate activate_;
  Metrics& metrics_;
  const std::unique_ptr<JobStore> store_;
  JobWatchers watchers_;

  // Of the scheduler's thread.
  std::map<std::string, std::unique_ptr<Job>> jobs_;
  std::set<std::string> changed_;  // since the watchers were last told
  absl::Time next_removal_ = absl::InfinitePast();
  absl::Time stop_deadline_ = absl::InfiniteFuture();  // while stopping
  bool stopping_seen_ = false;                         // stopping_, at the last look
  bool interrupted_ = false;                           // and the trainers were told to end

  mutable Mutex mutex_;
  CondVar wake_;                                                       // the scheduler's thread
  CondVar answered_;                                                   // who waits for an answer
  std::map<std::string, TrainJob> published_ ABSL_GUARDED_BY(mutex_);  // what Get and List see
  std::deque<absl::AnyInvocable<void()>> commands_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool checkpoint_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;

  ThreadPool background_;  // activations, and deleting what was removed
  std::thread thread_;
};

}  // namespace proad::server
