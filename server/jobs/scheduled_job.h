// What the scheduler's thread knows of a job. Private to train_scheduler*.cc.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/jobs/job_files.h"
#include "server/jobs/progress_file.h"
#include "server/jobs/running_job.h"
#include "server/jobs/train_scheduler.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {

inline constexpr char kCancelledReason[] = "cancelled by a user";

// FAILED_PRECONDITION (JOB_WRONG_STATE).
inline absl::Status WrongStateError(const std::string& message) {
  return MakeError(absl::StatusCode::kFailedPrecondition, message,
                   {.reason = reason::kJobWrongState});
}
inline absl::Status PublishingError(const std::string& id) {
  return WrongStateError("job " + id +
                         " is publishing its version and cannot be cancelled any more");
}

struct TrainScheduler::Call {
  std::optional<absl::StatusOr<TrainJob>> answer;  // guarded by TrainScheduler::mutex_
};

struct TrainScheduler::Job {
  std::string id;
  JobSpec spec;
  JobRecord record;
  absl::Status damage;  // its files cannot be read; it can be listed, and that is all
  std::optional<ProgressRecord> progress;
  int queue_position = 0;

  std::unique_ptr<RunningJob> run;   // while it is RUNNING
  bool activating = false;           // its trainer is done, and its version is being activated
  std::vector<CallPointer> cancels;  // who waits for it to end; not empty: it is to end
  absl::Time kill_at = absl::InfiniteFuture();

  bool unsaved = false;     // the record could not be written, because of ...
  absl::Status save_error;  // ... this; the next try is at
  absl::Time retry_at = absl::InfinitePast();

  model::TrainPhase phase() const {
    return progress ? progress->train.phase : model::TrainPhase::kPreparing;
  }
};

}  // namespace proad::server
