// Runs training jobs: accepts them, queues them, runs each in a trainer process of its own, and
// tells watchers about changes.
//
// A job that Create returned survives a crash of the server and of its trainer at any instant: a
// new scheduler over the same directory finds every job, follows the trainers that are still alive,
// and restarts the others.
//
// One thread makes all decisions. It observes each job (RunningJob, the files of job_files.h), asks
// the state machine (job_machine.h) for the next step, and performs it. Calls that change a job are
// queued for that thread; calls that read use snapshots (JobSnapshots).
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/picture/image_limits.h"
#include "server/jobs/job_snapshots.h"
#include "server/jobs/job_store.h"
#include "server/jobs/job_table.h"
#include "server/jobs/job_watchers.h"
#include "server/jobs/train_job.h"
#include "server/serving/memory_room.h"
#include "server/telemetry/metrics.h"
#include "server/util/mutex.h"
#include "server/util/thread_pool.h"

namespace proad::server {

// Makes a published version the one that serves its name; ModelLifecycle::Activate. May block.
using Activate =
    std::function<ActivationAttempt(const std::string& name, const std::string& version)>;

// Thread-safety: all methods may be called from any thread. Only Cancel and Stop wait for a
// trainer; Create, Cancel and Resume wait for the disk.
class TrainScheduler {
 public:
  struct Options {
    std::filesystem::path jobs = "/var/lib/proad/jobs";  // JOBS/<id>/; created when absent
    std::filesystem::path store;                         // model store that gets the versions
    std::filesystem::path trainer;                       // the program proad-trainer
    int concurrency = 1;                                 // jobs that run at once
    int max_queued = 64;
    int max_watchers = 256;
    int nice = 10;                                    // of the trainer, 0..19
    int threads = 0;                                  // of the trainer; 0: one per core
    int64_t feature_memory_bytes = int64_t{2} << 30;  // of one trainer
    int64_t memory_limit_bytes = 0;                   // of one trainer; 0: from TrainerMemoryLimit
    int64_t server_memory = 0;  // bytes that the server may use; a computed limit leaves them to it
    MeasureMemory measure_memory = HostMemory;
    absl::Duration checkpoint_interval = absl::Seconds(10);
    model::ImageLimits image;  // for the images of datasets
    int max_crashes = 3;       // consecutive crashes without a new checkpoint; then the job FAILED
    absl::Duration keep_ended = absl::Hours(24 * 30);
    int max_ended = 1000;                                  // the oldest are removed first
    absl::Duration poll = absl::Milliseconds(100);         // between looks at a running job
    absl::Duration stop_grace = absl::Milliseconds(1500);  // between SIGTERM and SIGKILL of Cancel
    bool checkpoint_on_stop = true;  // Stop makes running trainers save their state and exit
    absl::Duration checkpoint_grace = absl::Seconds(10);  // how long Stop waits for that
  };

  // Loads the jobs of the directory and continues them. FAILED_PRECONDITION, PERMISSION_DENIED or
  // INTERNAL, naming the path, when the directory cannot be used.
  static absl::StatusOr<std::unique_ptr<TrainScheduler>> Start(const Options& options,
                                                               Activate activate, Metrics& metrics);
  // Running trainers continue without a server; the next scheduler finds them.
  ~TrainScheduler();

  // Writes a new job to the disk, then returns it. The caller has checked `spec`.
  //   ALREADY_EXISTS       another request used request_id; the message names its job
  //   RESOURCE_EXHAUSTED   the queue (JOB_QUEUE_FULL) or the disk (DISK_FULL) is full
  //   UNAVAILABLE          the server shuts down
  absl::StatusOr<TrainJob> Create(const JobSpec& spec, const std::string& request_id);

  // The job that a request with this id made; nullopt when there is none. ALREADY_EXISTS as Create.
  absl::StatusOr<std::optional<TrainJob>> FindRequest(const std::string& request_id,
                                                      const std::string& request_digest) const;

  // NOT_FOUND; the message lists known jobs, at most 20.
  absl::StatusOr<TrainJob> Get(const std::string& id) const;

  // Newest first.
  std::vector<TrainJob> List() const;

  // Ends a job. Returns when its process is gone, shortly after stop_grace at the latest.
  //   NOT_FOUND, FAILED_PRECONDITION (JOB_WRONG_STATE: SUCCEEDED, FAILED or publishing),
  //   UNAVAILABLE (the server shuts down)
  absl::StatusOr<TrainJob> Cancel(const std::string& id);

  // Queues a FAILED or CANCELLED job again; a job that has not ended is not changed. The trainer
  // checks later whether the dataset is still the same (DATASET_CHANGED).
  //   NOT_FOUND, FAILED_PRECONDITION (SUCCEEDED: JOB_WRONG_STATE), DATA_LOSS (its files or its
  //   checkpoint are damaged), RESOURCE_EXHAUSTED (JOB_QUEUE_FULL, DISK_FULL), UNAVAILABLE (the
  //   server shuts down)
  absl::StatusOr<TrainJob> Resume(const std::string& id);

  // Calls `changed` after every change of the job, from the scheduler's thread and without a lock,
  // until the subscription is destroyed. No call is in progress when its destructor returns.
  // `changed` must not block and must not destroy the subscription; call Get for the new state.
  //   NOT_FOUND, RESOURCE_EXHAUSTED (TOO_MANY_WATCHERS)
  using Subscription = JobWatchers::Subscription;
  absl::StatusOr<std::unique_ptr<Subscription>> Subscribe(const std::string& id,
                                                          std::function<void()> changed);

  // Creates and starts nothing more. With Options::checkpoint_on_stop, running trainers save their
  // state and exit, and the next scheduler restarts them; otherwise they continue. Idempotent.
  void Stop();

 private:
  // A call that waits for its answer.
  struct Call {
    std::optional<absl::StatusOr<TrainJob>> answer;  // guarded by TrainScheduler::mutex_
  };
  using CallPointer = std::shared_ptr<Call>;

  TrainScheduler(const Options& options, Activate activate, Metrics& metrics,
                 std::unique_ptr<JobStore> store);

  // Any thread.
  absl::StatusOr<TrainJob> Ask(absl::AnyInvocable<void(const CallPointer&)> command);
  void Answer(const CallPointer& call, absl::StatusOr<TrainJob> answer);
  void End(bool checkpoint);

  // The scheduler's thread. Start and End call them while that thread does not run.
  void Run();
  void RunCommands();
  void Look(absl::Time now);
  void NotifyWatchers();
  absl::Time NextWake(absl::Time now) const;
  bool MayEnd(absl::Time now) const;

  absl::StatusOr<TrainJob> DoCreate(const JobSpec& spec, const std::string& request_id);
  absl::StatusOr<TrainJob> DoResume(const std::string& id);
  void DoCancel(const std::string& id, const CallPointer& call);
  absl::Status PrepareResume(const ScheduledJob& job);
  void AnswerCancels(ScheduledJob& job, const absl::Status& refusal);  // OK: with the job

  JobObservation Observe(ScheduledJob& job, absl::Time now);
  void Advance(ScheduledJob& job, absl::Time now);
  absl::Status Perform(ScheduledJob& job, const JobStep& step, absl::Time now);
  void PerformAction(ScheduledJob& job, JobAction action, absl::Time now);
  void StartTrainer(ScheduledJob& job, absl::Time now);
  int64_t ComputeMemoryLimit() const;
  void BeginActivation(ScheduledJob& job);
  void EndActivation(const std::string& id, const ActivationAttempt& attempt);

  const Options options_;
  const Activate activate_;
  JobWatchers watchers_;
  JobSnapshots snapshots_;

  // The scheduler's thread.
  JobTable table_;
  absl::Time stop_deadline_ = absl::InfiniteFuture();  // end of checkpoint_grace
  bool stopping_seen_ = false;                         // stopping_, when this thread last read it
  bool interrupt_ = false;    // during one Look: trainers are to save their state and exit
  bool interrupted_ = false;  // the trainers were told so

  Mutex mutex_;
  CondVar wake_;      // the scheduler's thread
  CondVar answered_;  // threads in Ask and End
  std::deque<absl::AnyInvocable<void()>> commands_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool checkpoint_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;

  ThreadPool background_;  // activations, and the deletion of removed files
  std::thread thread_;
};

}  // namespace proad::server
