#include "server/jobs/job_machine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

absl::Status WrongState(const std::string& message) {
  return MakeError(absl::StatusCode::kFailedPrecondition, message,
                   {.reason = reason::kJobWrongState});
}

absl::Status Publishing(const std::string& id) {
  return WrongState(
      absl::StrCat("job ", id, " is publishing its version and can no longer be cancelled"));
}

JobStep Unchanged(const JobRecord& record, JobAction action = JobAction::kNone) {
  return {.record = record, .action = action};
}

JobStep End(JobRecord record, JobState state, absl::string_view reason, absl::string_view code,
            absl::Time now) {
  record.state = state;
  record.reason = std::string(reason);
  record.reason_code = std::string(code);
  record.ended = now;
  record.attempt_started = absl::InfinitePast();
  record.interrupted = false;
  return {.record = std::move(record),
          .action = JobAction::kStopFollowing,
          .write = JobWrite::kEventually};
}

JobStep EndCancelled(const JobRecord& record, absl::Time now) {
  return End(record, JobState::kCancelled, "cancelled by a user", reason::kCancelledByUser, now);
}

// Written before the trainer is started: after a restart, the server must know of every trainer.
JobStep StartAttempt(JobRecord record, absl::Time now) {
  record.state = JobState::kRunning;
  if (record.started == absl::InfinitePast()) record.started = now;
  record.attempt_started = now;
  record.interrupted = false;
  ++record.attempts;
  return {
      .record = std::move(record), .action = JobAction::kStartTrainer, .write = JobWrite::kFirst};
}

// The record with the time of the attempt that is over added to the time of those before.
JobRecord EndAttempt(JobRecord record, const JobObservation& seen) {
  if (record.attempt_started == absl::InfinitePast()) return record;
  // If the trainer died while no server followed it, its last report is the best estimate.
  const absl::Time last = seen.progress ? seen.progress->time : record.attempt_started;
  const absl::Time end = seen.trainer_seen_alive ? seen.now : last;
  record.ran += std::max(end - record.attempt_started, absl::ZeroDuration());
  record.attempt_started = absl::InfinitePast();
  return record;
}

std::string DescribeCrashes(const JobRecord& record, const JobObservation& seen) {
  return absl::StrCat(
      "the trainer crashed ", record.crashes,
      " times without getting beyond the checkpoint of step ", record.crash_step,
      seen.trainer_ending.empty() ? "" : "; " + seen.trainer_ending,
      seen.log_tail.empty() ? "; its log is empty" : "; the end of its log: " + seen.log_tail);
}

JobStep AfterResult(JobRecord record, const JobObservation& seen) {
  record.outcome = seen.exit->outcome;
  const absl::Status too_late = seen.cancelling ? Publishing(seen.id) : absl::OkStatus();
  const std::optional<model::GateVerdict>& gate = record.outcome->gate;
  const bool refused = gate && !gate->passed;
  JobStep step;
  if (!seen.activate_on_success || refused) {
    if (seen.activate_on_success) {
      record.activation = Activation{.activated = false, .reason = gate->reason};
    }
    step = End(std::move(record), JobState::kSucceeded, "", "", seen.now);
  } else {
    // A server that shuts down leaves the activation to the next one.
    step = Unchanged(record, seen.stopping ? JobAction::kStopFollowing : JobAction::kActivate);
  }
  step.cancel_refusal = too_late;
  return step;
}

// The trainer exited without a result or an error, and no Cancel call waits.
JobStep AfterCrash(const JobRecord& before, JobRecord record, const JobObservation& seen,
                   int max_crashes) {
  if (seen.stopping) return Unchanged(before, JobAction::kStopFollowing);
  const int64_t checkpoint_step = seen.progress ? seen.progress->train.checkpoint_step : 0;
  if (!before.interrupted) {
    record.crashes = checkpoint_step > before.crash_step ? 1 : before.crashes + 1;
  }
  record.crash_step = checkpoint_step;
  if (!before.interrupted && record.crashes >= max_crashes) {
    const std::string reason = DescribeCrashes(record, seen);
    return End(std::move(record), JobState::kFailed, reason, reason::kTrainerDied, seen.now);
  }
  if (seen.slot_free) return StartAttempt(std::move(record), seen.now);
  record.state = JobState::kQueued;
  return {.record = std::move(record),
          .action = JobAction::kStopFollowing,
          .write = JobWrite::kEventually};
}

JobStep AfterExit(const JobRecord& record, const JobObservation& seen, int max_crashes) {
  if (seen.backing_off && !seen.cancelling) return Unchanged(record);
  if (!seen.exit.ok() && !absl::IsDataLoss(seen.exit.status())) {
    // The system could not read the file, for example for lack of descriptors. The file may be
    // whole, so the job must not end because of that.
    JobStep step = Unchanged(record, JobAction::kBackOff);
    if (seen.cancelling) step.cancel_refusal = seen.exit.status();
    return step;
  }
  const JobRecord ended = EndAttempt(record, seen);
  if (!seen.exit.ok()) {
    JobStep step =
        End(ended, JobState::kFailed, seen.exit.status().message(), reason::kDataLoss, seen.now);
    if (seen.cancelling) step.cancel_refusal = Publishing(seen.id);
    return step;
  }
  if (seen.exit->outcome) return AfterResult(ended, seen);
  if (seen.cancelling) return EndCancelled(ended, seen.now);
  if (seen.exit->error) {
    const JobError& error = *seen.exit->error;
    return End(ended, JobState::kFailed, error.message, error.code, seen.now);
  }
  return AfterCrash(record, ended, seen, max_crashes);
}

JobStep WhileAlive(const JobRecord& record, const JobObservation& seen) {
  if (seen.interrupt) {
    JobStep step = Unchanged(record, JobAction::kTerminateTrainer);
    step.record.interrupted = true;
    step.write = JobWrite::kEventually;
    return step;
  }
  if (!seen.cancelling) return Unchanged(record);
  if (seen.phase() == model::TrainPhase::kPublishing) {
    JobStep step = Unchanged(record);
    step.cancel_refusal = Publishing(seen.id);
    return step;
  }
  return Unchanged(record, seen.now < seen.kill_at ? JobAction::kNone : JobAction::kKillTrainer);
}

}  // namespace

JobStep NextStep(const JobRecord& record, const JobObservation& seen, int max_crashes) {
  if (record.state == JobState::kQueued) {
    const bool start = seen.slot_free && !seen.stopping && !seen.backing_off;
    return start ? StartAttempt(record, seen.now) : Unchanged(record);
  }
  if (record.state != JobState::kRunning || !seen.followed || seen.activating) {
    return Unchanged(record);
  }
  return seen.trainer_alive ? WhileAlive(record, seen) : AfterExit(record, seen, max_crashes);
}

JobStep AfterFailedStart(const JobRecord& record, const JobObservation& seen,
                         const absl::Status& error) {
  return End(record, JobState::kFailed, error.message(), reason::kTrainerDied, seen.now);
}

JobStep AfterActivation(const JobRecord& record, const JobObservation& seen,
                        const ActivationAttempt& attempt) {
  const absl::Status& status = attempt.status;
  // The models shut down first, and this server has not yet told the scheduler.
  if (!status.ok() && attempt.server_stops && !seen.stopping) return Unchanged(record);
  if (!status.ok() && seen.stopping) return Unchanged(record, JobAction::kStopFollowing);
  JobRecord next = record;
  next.activation = Activation{.activated = status.ok(), .reason = std::string(status.message())};
  return End(std::move(next), JobState::kSucceeded, "", "", seen.now);
}

absl::StatusOr<JobStep> CancelStep(const JobRecord& record, const JobObservation& seen) {
  switch (record.state) {
    case JobState::kCancelled:
      return Unchanged(record);
    case JobState::kSucceeded:
    case JobState::kFailed:
      return WrongState(absl::StrCat("job ", seen.id, " has ", NameOf(record.state),
                                     "; only a job that is QUEUED or RUNNING can be cancelled"));
    case JobState::kQueued: {
      JobStep step = EndCancelled(record, seen.now);
      step.write = JobWrite::kFirst;
      return step;
    }
    case JobState::kRunning:
      break;
  }
  if (!seen.followed) return ShuttingDownError();
  if (seen.activating || seen.phase() == model::TrainPhase::kPublishing) return Publishing(seen.id);
  return Unchanged(record, JobAction::kTerminateTrainer);
}

absl::StatusOr<JobStep> ResumeStep(const JobRecord& record, const JobObservation& seen) {
  if (!HasEnded(record.state)) return Unchanged(record);
  if (record.state == JobState::kSucceeded) {
    return WrongState(absl::StrCat("job ", seen.id, " has SUCCEEDED and cannot be resumed"));
  }
  JobStep step = {.record = record, .write = JobWrite::kFirst};
  step.record.state = JobState::kQueued;
  step.record.reason.clear();
  step.record.reason_code.clear();
  step.record.queued = seen.now;
  step.record.ended = absl::InfinitePast();
  step.record.crashes = 0;
  step.record.crash_step = 0;
  return step;
}

JobStep AfterDamage(const JobRecord& record, const JobObservation& seen,
                    const absl::Status& damage) {
  if (HasEnded(record.state)) return Unchanged(record);
  JobStep step = End(record, JobState::kFailed, damage.message(), reason::kDataLoss, seen.now);
  step.write = JobWrite::kNone;  // the files stay as they are, for a repair by hand
  return step;
}

absl::Status ShuttingDownError() {
  return MakeError(absl::StatusCode::kUnavailable,
                   "the server shuts down; repeat the call later or at another server",
                   {.reason = reason::kDraining});
}

}  // namespace proad::server
