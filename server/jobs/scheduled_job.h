// A job in the memory of the scheduler's thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/jobs/job_files.h"
#include "server/jobs/job_machine.h"
#include "server/jobs/progress_file.h"
#include "server/jobs/running_job.h"
#include "server/jobs/train_job.h"

namespace proad::server {

// One thread. The public members change freely; the record changes only through Replace.
class ScheduledJob {
 public:
  // Receives the answer to a Cancel call, once.
  using CancelAnswer = absl::AnyInvocable<void(absl::StatusOr<TrainJob>) &&>;

  ScheduledJob(std::string id, JobSpec spec, JobRecord record)
      : id_(std::move(id)), spec_(std::move(spec)), record_(std::move(record)) {}
  ScheduledJob(const ScheduledJob&) = delete;
  ScheduledJob& operator=(const ScheduledJob&) = delete;

  const std::string& id() const { return id_; }
  const JobSpec& spec() const { return spec_; }
  const JobRecord& record() const { return record_; }
  JobState state() const { return record_.state; }

  // Makes `next` the job's record. INTERNAL, and the record stays as it is, when CanMove does not
  // allow the transition. This is the only way in which the state of a job changes.
  absl::Status Replace(JobRecord next);

  // What Get and List return for the job.
  TrainJob View() const;

  absl::Status damage;  // not OK: spec.json or state.json cannot be read, and Resume returns this
  std::optional<ProgressRecord> progress;  // the trainer's last report
  int queue_position = 0;                  // jobs before it; of no meaning unless QUEUED

  std::unique_ptr<RunningJob> run;              // while the server follows its trainer
  bool activating = false;                      // its version is being activated
  std::vector<CancelAnswer> cancels;            // Cancel calls that wait for its end
  absl::Time kill_at = absl::InfiniteFuture();  // when a trainer that a call cancels is killed

  bool unsaved = false;      // the record is newer than state.json
  absl::Status write_error;  // of the last write; OK: it succeeded
  absl::Status read_error;   // of the last read of what the trainer left; OK: it succeeded
  absl::Time retry_at = absl::InfinitePast();  // the next try after a failed read or write

 private:
  const std::string id_;
  const JobSpec spec_;
  JobRecord record_;
};

}  // namespace proad::server
