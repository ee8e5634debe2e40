// Takes training jobs, runs as many at once as it may, each in a process of its own, and tells who
// watches.
//
// What Create has returned survives the death of this process and of the trainer's at any instant:
// a new scheduler over the same directory finds every job, goes on watching trainers that still
// live, and starts again those that do not.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/image.h"
#include "server/telemetry/metrics.h"
#include "server/training/train_job.h"

namespace proad::server {

// Makes a published version the one that serves its name; ModelRegistry::Activate. May block.
using Activate = std::function<absl::Status(const std::string& name, const std::string& version)>;

// Thread-safety: all methods may be called from any thread. None blocks on a trainer, except Cancel
// and Stop.
class TrainScheduler {
 public:
  struct Options {
    std::filesystem::path jobs = "/var/lib/proad/jobs";  // JOBS/<id>/, made when absent
    std::filesystem::path store;                         // gets the versions
    std::filesystem::path trainer;                       // the program proad-trainer
    int concurrency = 1;                                 // jobs that run at once
    int max_queued = 64;
    int max_watchers = 256;
    int nice = 10;    // of the trainer, 0..19
    int threads = 0;  // of the trainer; 0: the cores, less one, at least one
    int64_t feature_memory_bytes = int64_t{2} << 30;  // of one trainer
    int64_t checkpoint_every = 25;                    // steps
    model::ImageLimits image;                         // of the pictures that it reads
    int max_crashes = 3;  // without a new checkpoint, then the job FAILED
    absl::Duration keep_ended = absl::Hours(24 * 30);
    int max_ended = 1000;                                  // the oldest go first
    absl::Duration poll = absl::Milliseconds(100);         // how often progress is looked for
    absl::Duration stop_grace = absl::Milliseconds(1500);  // SIGTERM, then SIGKILL
    bool checkpoint_on_stop = true;                        // Stop saves what runs, and ends it
    absl::Duration checkpoint_grace = absl::Seconds(10);   // Stop waits for that so long
  };

  // Reads the jobs that there are and goes on with them. FAILED_PRECONDITION or INTERNAL naming the
  // path where the directory cannot be used.
  static absl::StatusOr<std::unique_ptr<TrainScheduler>> Start(const Options& options,
                                                               Activate activate, Metrics& metrics);
  // Leaves running trainers alone: they go on, and the next scheduler finds them.
  ~TrainScheduler();

  // Writes the job down, then returns it. `spec` is checked by the caller.
  //   ALREADY_EXISTS       request_id was used for another spec; names the job
  //   RESOURCE_EXHAUSTED   the queue is full (JOB_QUEUE_FULL), or the disk (DISK_FULL)
  //   UNAVAILABLE          stopping
  absl::StatusOr<TrainJob> Create(const JobSpec& spec, const std::string& request_id);

  // NOT_FOUND; lists known jobs, bounded.
  absl::StatusOr<TrainJob> Get(const std::string& id) const;

  // Newest first.
  std::vector<TrainJob> List() const;

  // Ends a job; returns when its process is gone, within stop_grace and a little.
  //   NOT_FOUND, FAILED_PRECONDITION (SUCCEEDED, FAILED, or publishing: JOB_WRONG_STATE)
  absl::StatusOr<TrainJob> Cancel(const std::string& id);

  //   NOT_FOUND, FAILED_PRECONDITION (SUCCEEDED), DATA_LOSS, RESOURCE_EXHAUSTED
  absl::StatusOr<TrainJob> Resume(const std::string& id);

  // Calls `changed` after every change of the job, from a thread of the scheduler, with no lock
  // held, until the subscription is destroyed; when its destructor returns, no call is under way.
  // `changed` must not block and must not destroy the subscription; it asks Get for what changed.
  //   NOT_FOUND, RESOURCE_EXHAUSTED (TOO_MANY_WATCHERS)
  class Subscription;
  absl::StatusOr<std::unique_ptr<Subscription>> Subscribe(const std::string& id,
                                                          std::function<void()> changed);

  // Creates nothing and starts nothing more. With Options::checkpoint_on_stop trainers save their
  // state and end, to be started again by the next scheduler; otherwise they go on. Idempotent.
  void Stop();

 private:
  class Impl;
  explicit TrainScheduler(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace proad::server
