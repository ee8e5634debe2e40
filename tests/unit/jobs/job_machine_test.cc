#include "server/jobs/job_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

using enum JobState;
using model::TrainPhase;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kMaxCrashes = 3;
const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);
const absl::Duration kMoment = absl::Milliseconds(1);

JobRecord RecordIn(JobState state) {
  JobRecord record;
  record.state = state;
  if (state == kRunning) record.attempt_started = kNow - absl::Seconds(7);
  if (HasEnded(state)) record.ended = kNow - absl::Seconds(5);
  return record;
}

JobRecord Crashed(int crashes, int64_t step) {
  JobRecord record = RecordIn(kRunning);
  record.crashes = crashes;
  record.crash_step = step;
  return record;
}

JobRecord Interrupted(int crashes) {
  JobRecord record = Crashed(crashes, 0);
  record.interrupted = true;
  return record;
}

ProgressRecord Progress(TrainPhase phase, int64_t checkpoint_step = 0) {
  ProgressRecord progress;
  progress.time = kNow - absl::Seconds(4);
  progress.train.phase = phase;
  progress.train.checkpoint_step = checkpoint_step;
  return progress;
}

TrainerExit Result() {
  TrainerExit exit;
  exit.outcome.emplace().version = "3";
  return exit;
}

TrainerExit ResultOfGate(bool passed, const std::string& reason) {
  TrainerExit exit = Result();
  exit.outcome->gate = model::GateVerdict{passed, reason};
  return exit;
}

TrainerExit Error() {
  TrainerExit exit;
  exit.error = JobError{"NON_FINITE_LOSS", "", "the loss of step 7 is not finite"};
  return exit;
}

// A followed job with a slot, whose trainer is not alive and left nothing.
JobObservation Seen(JobObservation seen = {}) {
  seen.now = kNow;
  seen.id = "20260301";
  seen.slot_free = true;
  seen.followed = true;
  seen.trainer_seen_alive = true;
  return seen;
}

// ---------------------------------------------------------------- steps

struct Row {
  const char* name;
  JobRecord record;
  JobObservation seen;
  JobState state;
  JobAction action;
  JobWrite write;
  int crashes;
};

void Check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    const JobStep step = NextStep(row.record, row.seen, kMaxCrashes);
    EXPECT_EQ(step.record.state, row.state) << row.name;
    EXPECT_EQ(step.action, row.action) << row.name;
    EXPECT_EQ(step.write, row.write) << row.name;
    EXPECT_EQ(step.record.crashes, row.crashes) << row.name;
  }
}

TEST(JobMachine, QueuedJobStartsWhenASlotIsFree) {
  JobObservation no_slot = Seen();
  no_slot.slot_free = false;
  Check({
      {"slot free", RecordIn(kQueued), Seen(), kRunning, JobAction::kStartTrainer, JobWrite::kFirst,
       0},
      {"no slot", RecordIn(kQueued), no_slot, kQueued, JobAction::kNone, JobWrite::kNone, 0},
      {"shutdown", RecordIn(kQueued), Seen({.stopping = true}), kQueued, JobAction::kNone,
       JobWrite::kNone, 0},
      {"after a failed write", RecordIn(kQueued), Seen({.backing_off = true}), kQueued,
       JobAction::kNone, JobWrite::kNone, 0},
  });
  const JobStep step = NextStep(RecordIn(kQueued), Seen(), kMaxCrashes);
  EXPECT_EQ(step.record.attempts, 1);
  EXPECT_EQ(step.record.started, kNow);
  EXPECT_EQ(step.record.attempt_started, kNow);
}

TEST(JobMachine, JobWithALiveTrainerStaysRunning) {
  const auto alive = [](JobObservation seen) {
    seen.trainer_alive = true;
    return Seen(std::move(seen));
  };
  const auto wait = JobAction::kNone;
  const auto none = JobWrite::kNone;
  const JobRecord running = RecordIn(kRunning);
  Check({
      {"at work", running, alive({}), kRunning, wait, none, 0},
      {"result written, not yet exited", running, alive({.exit = Result()}), kRunning, wait, none,
       0},
      {"shutdown that leaves trainers alone", running, alive({.stopping = true}), kRunning, wait,
       none, 0},
      {"shutdown with a checkpoint", running, alive({.stopping = true, .interrupt = true}),
       kRunning, JobAction::kTerminateTrainer, JobWrite::kEventually, 0},
      {"cancelled, before the end of the grace", running,
       alive({.cancelling = true, .kill_at = kNow + kMoment}), kRunning, wait, none, 0},
      {"cancelled, at the end of the grace", running, alive({.cancelling = true, .kill_at = kNow}),
       kRunning, JobAction::kKillTrainer, none, 0},
      {"cancelled while evaluating", running,
       alive({.cancelling = true,
              .kill_at = kNow - kMoment,
              .progress = Progress(TrainPhase::kEvaluating)}),
       kRunning, JobAction::kKillTrainer, none, 0},
      {"cancelled while publishing: not killed", running,
       alive({.cancelling = true,
              .kill_at = kNow - kMoment,
              .progress = Progress(TrainPhase::kPublishing)}),
       kRunning, wait, none, 0},
  });
  JobObservation publishing = alive({.progress = Progress(TrainPhase::kPublishing)});
  publishing.cancelling = true;
  EXPECT_EQ(GetDetails(NextStep(running, publishing, kMaxCrashes).cancel_refusal).reason,
            "JOB_WRONG_STATE");
  EXPECT_TRUE(NextStep(running, alive({.stopping = true, .interrupt = true}), kMaxCrashes)
                  .record.interrupted);
}

TEST(JobMachine, JobEndsWithWhatItsTrainerLeft) {
  const auto stop = JobAction::kStopFollowing;
  const auto write = JobWrite::kEventually;
  const JobRecord running = RecordIn(kRunning);
  TrainerExit both = Result();
  both.error = Error().error;
  Check({
      {"result", running, Seen({.exit = Result()}), kSucceeded, stop, write, 0},
      {"result, shutdown", running, Seen({.stopping = true, .exit = Result()}), kSucceeded, stop,
       write, 0},
      {"a Cancel call that came too late", running, Seen({.cancelling = true, .exit = Result()}),
       kSucceeded, stop, write, 0},
      {"a result counts more than an error", running, Seen({.exit = both}), kSucceeded, stop, write,
       0},
      {"cancelled", running, Seen({.cancelling = true}), kCancelled, stop, write, 0},
      {"cancelled, with an error", running, Seen({.cancelling = true, .exit = Error()}), kCancelled,
       stop, write, 0},
      {"cancelled during the shutdown", running, Seen({.stopping = true, .cancelling = true}),
       kCancelled, stop, write, 0},
      {"error", running, Seen({.exit = Error()}), kFailed, stop, write, 0},
      {"error during the shutdown", running, Seen({.stopping = true, .exit = Error()}), kFailed,
       stop, write, 0},
      {"damaged result", running, Seen({.exit = absl::DataLossError("torn")}), kFailed, stop, write,
       0},
  });
  const JobStep failed = NextStep(running, Seen({.exit = Error()}), kMaxCrashes);
  EXPECT_EQ(failed.record.reason_code, "NON_FINITE_LOSS");
  EXPECT_EQ(failed.record.reason, "the loss of step 7 is not finite");
  EXPECT_EQ(failed.record.ended, kNow);
  const JobStep damaged =
      NextStep(running, Seen({.exit = absl::DataLossError("torn")}), kMaxCrashes);
  EXPECT_EQ(damaged.record.reason_code, "DATA_LOSS");
  EXPECT_EQ(damaged.record.reason, "torn");
  const JobStep late = NextStep(running, Seen({.cancelling = true, .exit = Result()}), kMaxCrashes);
  EXPECT_EQ(GetDetails(late.cancel_refusal).reason, "JOB_WRONG_STATE");
  EXPECT_EQ(late.record.outcome->version, "3");
}

TEST(JobMachine, OutcomeThatCannotBeReadNowIsReadAgainLater) {
  for (const absl::Status& error :
       {absl::ResourceExhaustedError("too many open files"), absl::InternalError("I/O error")}) {
    Check({
        {"read failed", Crashed(2, 5), Seen({.exit = error}), kRunning, JobAction::kBackOff,
         JobWrite::kNone, 2},
        {"not yet time for the next read", Crashed(2, 5),
         Seen({.backing_off = true, .exit = error}), kRunning, JobAction::kNone, JobWrite::kNone,
         2},
    });
    const JobObservation cancelling = Seen({.cancelling = true, .exit = error});
    EXPECT_EQ(NextStep(Crashed(2, 5), cancelling, kMaxCrashes).cancel_refusal, error);
  }
}

TEST(JobMachine, CrashedJobIsRestartedUntilItCrashedTooOftenAtOneCheckpoint) {
  const auto start = JobAction::kStartTrainer;
  const auto first = JobWrite::kFirst;
  JobObservation no_slot = Seen();
  no_slot.slot_free = false;
  const auto at = [](int64_t step) {
    return Seen({.progress = Progress(TrainPhase::kTraining, step)});
  };
  Check({
      {"first crash", RecordIn(kRunning), Seen(), kRunning, start, first, 1},
      {"second", Crashed(1, 5), at(5), kRunning, start, first, 2},
      {"third", Crashed(2, 5), at(5), kFailed, JobAction::kStopFollowing, JobWrite::kEventually, 3},
      {"third, beyond the checkpoint", Crashed(2, 5), at(6), kRunning, start, first, 1},
      {"interrupted by the last server", Interrupted(2), at(9), kRunning, start, first, 2},
      {"interrupted by this server", Interrupted(1), Seen({.stopping = true}), kRunning,
       JobAction::kStopFollowing, JobWrite::kNone, 1},
      {"no slot", RecordIn(kRunning), no_slot, kQueued, JobAction::kStopFollowing,
       JobWrite::kEventually, 1},
      {"after a failed write", RecordIn(kRunning), Seen({.backing_off = true}), kRunning,
       JobAction::kNone, JobWrite::kNone, 0},
  });
  const JobStep failed = NextStep(Crashed(2, 5),
                                  Seen({.progress = Progress(TrainPhase::kTraining, 5),
                                        .trainer_ending = "it was killed by signal 9 (Killed)",
                                        .log_tail = "step 7"}),
                                  kMaxCrashes);
  EXPECT_EQ(failed.record.reason_code, "TRAINER_DIED");
  EXPECT_THAT(failed.record.reason, AllOf(HasSubstr("3 times"), HasSubstr("step 5"),
                                          HasSubstr("signal 9"), HasSubstr("step 7")));
  EXPECT_EQ(NextStep(RecordIn(kRunning), Seen(), /*max_crashes=*/1).record.state, kFailed);
  const JobStep restarted = NextStep(Interrupted(0), Seen(), kMaxCrashes);
  EXPECT_FALSE(restarted.record.interrupted);
}

TEST(JobMachine, TimeOfAnAttemptEndsWithTheTrainerOrWithItsLastReport) {
  const JobRecord running = RecordIn(kRunning);  // for seven seconds
  JobObservation seen = Seen({.progress = Progress(TrainPhase::kTraining), .exit = Error()});
  EXPECT_EQ(NextStep(running, seen, kMaxCrashes).record.ran, absl::Seconds(7));
  seen.trainer_seen_alive = false;  // it exited while no server ran
  EXPECT_EQ(NextStep(running, seen, kMaxCrashes).record.ran, absl::Seconds(3));
  seen.progress.reset();
  EXPECT_EQ(NextStep(running, seen, kMaxCrashes).record.ran, absl::ZeroDuration());
}

// ---------------------------------------------------------------- activation

TEST(JobMachine, VersionIsActivatedOnlyWhenAskedForAndPassedByTheGate) {
  const JobRecord running = RecordIn(kRunning);
  const auto step_of = [&](TrainerExit exit, bool stopping = false) {
    return NextStep(running,
                    Seen({.stopping = stopping, .activate_on_success = true, .exit = exit}),
                    kMaxCrashes);
  };
  const JobStep activates = step_of(ResultOfGate(true, ""));
  EXPECT_EQ(activates.action, JobAction::kActivate);
  EXPECT_EQ(activates.record.state, kRunning);
  EXPECT_EQ(activates.record.outcome->version, "3");
  EXPECT_EQ(step_of(Result()).action, JobAction::kActivate);

  const JobStep refused = step_of(ResultOfGate(false, "0.9 is less than 0.95"));
  EXPECT_EQ(refused.record.state, kSucceeded);
  EXPECT_FALSE(refused.record.activation->activated);
  EXPECT_EQ(refused.record.activation->reason, "0.9 is less than 0.95");

  const JobStep left = step_of(Result(), /*stopping=*/true);
  EXPECT_EQ(left.record.state, kRunning) << "the next server activates it";
  EXPECT_EQ(left.action, JobAction::kStopFollowing);
}

TEST(JobMachine, JobSucceedsAlsoWhenItsActivationFails) {
  const JobRecord running = RecordIn(kRunning);
  const ActivationAttempt draining(absl::UnavailableError("draining"), /*stops=*/true);
  const absl::Status corrupt = absl::DataLossError("the probe has another score");
  const JobObservation seen = Seen({.activating = true});
  const JobObservation stopping = Seen({.stopping = true, .activating = true});

  const JobStep activated = AfterActivation(running, seen, absl::OkStatus());
  EXPECT_EQ(activated.record.state, kSucceeded);
  EXPECT_TRUE(activated.record.activation->activated);
  EXPECT_TRUE(AfterActivation(running, stopping, absl::OkStatus()).record.activation->activated);

  const JobStep failed = AfterActivation(running, seen, corrupt);
  EXPECT_EQ(failed.record.state, kSucceeded);
  EXPECT_EQ(failed.record.activation->reason, "the probe has another score");

  for (const ActivationAttempt& attempt : {draining, ActivationAttempt(corrupt)}) {
    const JobStep left = AfterActivation(running, stopping, attempt);
    EXPECT_EQ(left.record.state, kRunning) << "the next server tries again: " << attempt.status;
    EXPECT_EQ(left.action, JobAction::kStopFollowing);
  }
  EXPECT_EQ(AfterActivation(running, seen, draining).action, JobAction::kNone);
  EXPECT_EQ(NextStep(running, seen, kMaxCrashes).action, JobAction::kNone);
}

// ---------------------------------------------------------------- calls

TEST(JobMachine, OnlyAJobThatHasNotEndedIsCancelled) {
  const JobObservation alive = Seen({.trainer_alive = true});
  const auto queued = CancelStep(RecordIn(kQueued), alive);
  EXPECT_EQ(queued->record.state, kCancelled);
  EXPECT_EQ(queued->record.reason_code, "CANCELLED_BY_USER");
  EXPECT_EQ(queued->write, JobWrite::kFirst);
  EXPECT_EQ(CancelStep(RecordIn(kRunning), alive)->action, JobAction::kTerminateTrainer);
  EXPECT_EQ(CancelStep(RecordIn(kRunning), alive)->record, RecordIn(kRunning));
  EXPECT_EQ(CancelStep(RecordIn(kCancelled), alive)->record, RecordIn(kCancelled));

  JobObservation publishing = alive;
  publishing.progress = Progress(TrainPhase::kPublishing);
  JobObservation activating = alive;
  activating.activating = true;
  for (const auto& [state, seen] : std::vector<std::pair<JobState, JobObservation>>{
           {kSucceeded, alive}, {kFailed, alive}, {kRunning, publishing}, {kRunning, activating}}) {
    const absl::Status status = CancelStep(RecordIn(state), seen).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_EQ(GetDetails(status).reason, "JOB_WRONG_STATE");
  }
  JobObservation left = alive;
  left.followed = false;
  EXPECT_EQ(CancelStep(RecordIn(kRunning), left).status().code(), absl::StatusCode::kUnavailable);
}

TEST(JobMachine, OnlyAFailedOrCancelledJobIsResumed) {
  for (JobRecord record : {RecordIn(kFailed), RecordIn(kCancelled)}) {
    record.crashes = 3;
    record.crash_step = 5;
    record.reason = "reason";
    record.reason_code = "CODE";
    const auto step = ResumeStep(record, Seen());
    EXPECT_EQ(step->record.state, kQueued);
    EXPECT_EQ(step->record.queued, kNow);
    EXPECT_EQ(step->record.ended, absl::InfinitePast());
    EXPECT_EQ(step->record.crashes, 0);
    EXPECT_EQ(step->record.crash_step, 0);
    EXPECT_EQ(absl::StrCat(step->record.reason, step->record.reason_code), "");
    EXPECT_EQ(step->write, JobWrite::kFirst);
  }
  for (const JobState state : {kQueued, kRunning}) {
    EXPECT_EQ(ResumeStep(RecordIn(state), Seen())->record, RecordIn(state));
    EXPECT_EQ(ResumeStep(RecordIn(state), Seen())->write, JobWrite::kNone);
  }
  EXPECT_EQ(GetDetails(ResumeStep(RecordIn(kSucceeded), Seen()).status()).reason,
            "JOB_WRONG_STATE");
}

TEST(JobMachine, DamagedFilesFailOnlyAJobThatHasNotEnded) {
  const absl::Status damage = absl::DataLossError("spec.json is torn");
  for (const JobState state : {kQueued, kRunning}) {
    const JobStep step = AfterDamage(RecordIn(state), Seen(), damage);
    EXPECT_EQ(step.record.state, kFailed);
    EXPECT_EQ(step.record.reason_code, "DATA_LOSS");
    EXPECT_EQ(step.record.reason, "spec.json is torn");
    EXPECT_EQ(step.write, JobWrite::kNone) << "the files stay as they are";
  }
  for (const JobState state : {kSucceeded, kFailed, kCancelled}) {
    EXPECT_EQ(AfterDamage(RecordIn(state), Seen(), damage).record, RecordIn(state));
  }
}

// ---------------------------------------------------------------- the table

// Observations with every combination of what the machine looks at.
std::vector<JobObservation> AllObservations() {
  std::vector<JobObservation> all;
  const std::vector<absl::StatusOr<TrainerExit>> exits = {
      TrainerExit(),
      Result(),
      ResultOfGate(false, "worse"),
      Error(),
      absl::DataLossError("torn"),
      absl::ResourceExhaustedError("too many open files")};
  for (int bits = 0; bits < 1 << 10; ++bits) {
    const auto bit = [bits](int index) { return (bits >> index & 1) != 0; };
    for (const auto& exit : exits) {
      JobObservation seen = {.now = kNow,
                             .stopping = bit(0),
                             .interrupt = bit(1),
                             .slot_free = bit(2),
                             .backing_off = bit(3),
                             .id = "20260301",
                             .activate_on_success = bit(4),
                             .followed = bit(5),
                             .activating = bit(6),
                             .cancelling = bit(7),
                             .kill_at = kNow,
                             .trainer_alive = bit(8),
                             .exit = exit};
      if (bit(9)) seen.progress = Progress(TrainPhase::kPublishing);
      all.push_back(std::move(seen));
    }
  }
  return all;
}

TEST(JobMachine, NoStepBreaksTheTableOfTransitions) {
  const absl::Status error = absl::InternalError("error");
  const auto check = [](JobState from, const JobStep& step) {
    ASSERT_TRUE(step.record.state == from || CanMove(from, step.record.state))
        << NameOf(from) << " -> " << NameOf(step.record.state);
  };
  for (const JobObservation& seen : AllObservations()) {
    for (const JobState state : {kQueued, kRunning, kSucceeded, kFailed, kCancelled}) {
      const JobRecord record = RecordIn(state);
      for (const int max_crashes : {1, 3}) check(state, NextStep(record, seen, max_crashes));
      check(state, AfterDamage(record, seen, error));
      if (const auto step = CancelStep(record, seen); step.ok()) check(state, *step);
      if (const auto step = ResumeStep(record, seen); step.ok()) check(state, *step);
    }
    check(kRunning, AfterFailedStart(RecordIn(kRunning), seen, error));
    check(kRunning, AfterActivation(RecordIn(kRunning), seen, error));
    check(kRunning, AfterActivation(RecordIn(kRunning), seen, absl::OkStatus()));
  }
}

}  // namespace
}  // namespace proad::server
