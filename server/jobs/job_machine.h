// The state machine of a training job: the job's next record and the next action, as pure functions
// of the present record and of what the scheduler observes.
//
// The functions here use no threads, no files and no clock, and are safe to call from any thread.
// TrainScheduler observes, calls one of them, writes the record and performs the action.
//
// The functions return only records whose state CanMove (train_job.h) allows, or the same state.
// ScheduledJob::Replace checks that again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/training/train_run.h"
#include "server/jobs/job_files.h"
#include "server/jobs/progress_file.h"

namespace proad::server {

// What the scheduler observes of one job at one moment.
struct JobObservation {
  absl::Time now = absl::InfinitePast();

  // The server.
  bool stopping = false;  // it shuts down
  bool interrupt =
      false;  // it shuts down and stops the trainers now, so that they save their state
  bool slot_free = false;    // the job has one of Options::concurrency slots, or may take one
  bool backing_off = false;  // a write or read for the job failed less than a second ago

  // The job in this server.
  std::string id;
  bool activate_on_success = false;  // its specification
  bool followed = false;             // this server follows the job's trainer; false once it stops
  bool activating = false;           // its version is being activated
  bool cancelling = false;           // Cancel calls wait for its end
  absl::Time kill_at = absl::InfiniteFuture();  // end of the grace after SIGTERM of a Cancel

  // The job's trainer.
  bool trainer_alive = false;
  bool trainer_seen_alive = false;         // this server started it, or once found it alive
  std::optional<ProgressRecord> progress;  // its last report
  // Meaningful when trainer_alive is false and backing_off, unless cancelling, is false:
  absl::StatusOr<TrainerExit> exit = TrainerExit();  // what it left; DATA_LOSS: damaged
  std::string trainer_ending;  // for example "it was killed by signal 9 (Killed)"; "": unknown
  std::string log_tail;        // the end of trainer.log; "" when it is empty

  model::TrainPhase phase() const {
    return progress ? progress->train.phase : model::TrainPhase::kPreparing;
  }
};

enum class JobAction {
  kNone,
  kStartTrainer,      // if the trainer cannot be started: AfterFailedStart
  kTerminateTrainer,  // SIGTERM: the trainer saves its state and exits
  kKillTrainer,       // SIGKILL
  kActivate,          // activate the version in the record's outcome; then AfterActivation
  kStopFollowing,     // the job needs no trainer, or the next server follows it
  kBackOff,           // look again in a second
};

// When the next record is written to state.json.
enum class JobWrite {
  kNone,        // not now: the record is not changed, or is derived anew after a restart
  kEventually,  // applied at once; the write is repeated until it succeeds
  kFirst,       // applied, and the action performed, only once it is written; else nothing happens
};

// A decision.
struct JobStep {
  JobRecord record;
  JobAction action = JobAction::kNone;
  JobWrite write = JobWrite::kNone;
  absl::Status cancel_refusal;  // not OK: the answer to all waiting Cancel calls
};

// What to do next, apart from calls. Called for every job whenever something may have changed. The
// job FAILED after `max_crashes` crashes of its trainer without a new checkpoint in between.
JobStep NextStep(const JobRecord& record, const JobObservation& seen, int max_crashes);

// The system could not start the trainer, for the reason `error`.
JobStep AfterFailedStart(const JobRecord& record, const JobObservation& seen,
                         const absl::Status& error);

// The result of an attempt to activate a version.
struct ActivationAttempt {
  absl::Status status;
  // When `status` is an error: this server shuts down, and the next one activates the version.
  bool server_stops = false;

  ActivationAttempt(absl::Status result, bool stops = false)  // NOLINT: a status is a result
      : status(std::move(result)), server_stops(stops) {}
};

// The activation ended. kNone with an unchanged record: the server is about to shut down, and the
// job stays as it is.
JobStep AfterActivation(const JobRecord& record, const JobObservation& seen,
                        const ActivationAttempt& attempt);

// A Cancel call. A step with kTerminateTrainer means that the call waits for the job's end; any
// other step completes it. An already CANCELLED job is not changed.
//   FAILED_PRECONDITION (JOB_WRONG_STATE)  SUCCEEDED or FAILED, or the version is being published
//   UNAVAILABLE (DRAINING)                 the server shuts down
absl::StatusOr<JobStep> CancelStep(const JobRecord& record, const JobObservation& seen);

// A Resume call. The caller has checked the queue's room and the job's checkpoint. A job that has
// not ended is not changed.
//   FAILED_PRECONDITION (JOB_WRONG_STATE)  SUCCEEDED
absl::StatusOr<JobStep> ResumeStep(const JobRecord& record, const JobObservation& seen);

// spec.json or state.json cannot be read, for the reason `damage`. `record` is the default record
// when state.json is damaged: the job's state is then unknown, and FAILED is where it begins. A job
// that has ended stays as it is, since it needs its specification only to be resumed.
JobStep AfterDamage(const JobRecord& record, const JobObservation& seen,
                    const absl::Status& damage);

// UNAVAILABLE (DRAINING): the answer to calls while the server shuts down.
absl::Status ShuttingDownError();

}  // namespace proad::server
