// All jobs of a scheduler: in memory, on the disk, in the snapshots that callers read, and in the
// metrics.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/jobs/job_machine.h"
#include "server/jobs/job_snapshots.h"
#include "server/jobs/job_store.h"
#include "server/jobs/running_job.h"
#include "server/jobs/scheduled_job.h"
#include "server/telemetry/metrics.h"
#include "server/util/thread_pool.h"

namespace proad::server {

// One thread, the scheduler's.
class JobTable {
 public:
  using Jobs = std::map<std::string, std::unique_ptr<ScheduledJob>>;  // by id, so by creation

  struct Options {
    int concurrency = 1;  // jobs that run at once
    int max_queued = 64;
    absl::Duration keep_ended = absl::Hours(24 * 30);
    int max_ended = 1000;  // the oldest are removed first
  };

  // `background` deletes files; it must be stopped before the table is destroyed.
  JobTable(const Options& options, std::unique_ptr<JobStore> store, JobSnapshots& snapshots,
           Metrics& metrics, ThreadPool& background);

  // Takes the jobs that were found on the disk. A job that was RUNNING is followed, with a slot as
  // long as there are any; jobs whose trainer is alive take theirs first.
  void Load(std::vector<StoredJob> stored, absl::Time now);

  // A new job, on the disk and QUEUED. A repeated request returns the job that it made.
  //   ALREADY_EXISTS (REQUEST_ID_REUSED), RESOURCE_EXHAUSTED (JOB_QUEUE_FULL, DISK_FULL)
  absl::StatusOr<ScheduledJob*> Create(const JobSpec& spec, const std::string& request_id,
                                       absl::Time now);

  const Jobs& jobs() const { return jobs_; }
  ScheduledJob* Find(const std::string& id);  // nullptr: unknown
  std::vector<ScheduledJob*> Queued() const;  // in the order in which they will run
  absl::Status CheckQueueRoom() const;        // RESOURCE_EXHAUSTED (JOB_QUEUE_FULL)
  int CountFreeSlots() const;
  absl::Time next_removal() const { return next_removal_; }
  JobStore& store() { return *store_; }

  // Makes the record of `step` the job's, and writes it as the step says. With JobWrite::kFirst the
  // error of the write, and the job stays as it is. INTERNAL when CanMove does not allow the
  // transition. When the job has ended by this step, counts and logs it.
  absl::Status Apply(ScheduledJob& job, const JobStep& step, absl::Time now);

  // Begins to follow the job's trainer, in a free slot if there is one.
  void Follow(ScheduledJob& job);

  // Writes the records that could not be written before, if it is time for the next try.
  void WriteUnsaved(absl::Time now);

  // Removes ended jobs that are too old or too many; looks at most every ten minutes, and after
  // each end of a job.
  void RemoveOld(absl::Time now);

  // Replaces the job's snapshot.
  void Publish(const ScheduledJob& job);

  // The ids of the jobs that changed since the last call, queue positions included.
  std::set<std::string> TakeChanges();

 private:
  absl::Status Write(ScheduledJob& job, const JobRecord& record, absl::Time now);
  void OnEnded(ScheduledJob& job, absl::Time now);
  int FreeSlot() const;
  int CountRunning() const;
  void CountStates();
  void PublishQueue();
  void DeleteRemoved();

  const Options options_;
  const std::unique_ptr<JobStore> store_;
  JobSnapshots& snapshots_;
  Metrics& metrics_;
  ThreadPool& background_;

  Jobs jobs_;
  std::set<std::string> changed_;
  absl::Time next_removal_ = absl::InfinitePast();
};

}  // namespace proad::server
