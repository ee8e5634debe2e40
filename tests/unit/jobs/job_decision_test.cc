#include "server/jobs/job_decision.h"

#include <gtest/gtest.h>

#include <vector>

namespace proad::server {
namespace {

struct Row {
  const char* what;
  JobRecord record;
  JobView view;
  JobStep step;
  int crashes;
};

JobRecord Crashed(int crashes, int64_t step) {
  JobRecord record;
  record.crashes = crashes;
  record.crash_step = step;
  return record;
}

JobRecord Interrupted(int crashes) {
  JobRecord record = Crashed(crashes, 0);
  record.interrupted = true;
  return record;
}

TEST(JobDecision, WhatBecomesOfARunningJob) {
  constexpr int kMaxCrashes = 3;
  const std::vector<Row> rows = {
      {"it is at work", {}, {.alive = true}, JobStep::kWait, 0},
      {"it is about to end", {}, {.alive = true, .has_result = true}, JobStep::kWait, 0},
      {"it is asked to end", {}, {.alive = true, .cancelling = true}, JobStep::kWait, 0},
      {"it is done", {}, {.has_result = true}, JobStep::kFinish, 0},
      {"a result is not thrown away by a cancel that came too late",
       {},
       {.has_result = true, .cancelling = true},
       JobStep::kFinish,
       0},
      {"a result counts more than an error",
       {},
       {.has_result = true, .has_error = true},
       JobStep::kFinish,
       0},
      {"it was cancelled", {}, {.cancelling = true}, JobStep::kCancel, 0},
      {"it was cancelled when it failed",
       {},
       {.has_error = true, .cancelling = true},
       JobStep::kCancel,
       0},
      {"it was cancelled while the server ends",
       {},
       {.cancelling = true, .stopping = true},
       JobStep::kCancel,
       0},
      {"it failed", {}, {.has_error = true}, JobStep::kFail, 0},
      {"it failed while the server ends",
       {},
       {.has_error = true, .stopping = true},
       JobStep::kFail,
       0},
      {"it ended because the server does", Interrupted(1), {.stopping = true}, JobStep::kLeave, 1},
      {"the next server goes on", Interrupted(2), {.checkpoint_step = 9}, JobStep::kRestart, 2},
      {"it died", {}, {}, JobStep::kRestart, 1},
      {"it died again", Crashed(1, 5), {.checkpoint_step = 5}, JobStep::kRestart, 2},
      {"it died too often", Crashed(2, 5), {.checkpoint_step = 5}, JobStep::kGiveUp, 3},
      {"it died again, but got further",
       Crashed(2, 5),
       {.checkpoint_step = 6},
       JobStep::kRestart,
       1},
  };
  for (const Row& row : rows) {
    const JobDecision decision = DecideRunning(row.record, row.view, kMaxCrashes);
    EXPECT_EQ(decision.step, row.step) << row.what;
    EXPECT_EQ(decision.crashes, row.crashes) << row.what;
  }
}

TEST(JobDecision, OneCrashMayBeAllThatIsAllowed) {
  EXPECT_EQ(DecideRunning({}, {}, 1).step, JobStep::kGiveUp);
}

TEST(JobDecision, ATrainerThatDoesNotEndIsKilledUnlessItPublishes) {
  const absl::Time grace_ends = absl::UnixEpoch();
  const absl::Duration moment = absl::Milliseconds(1);
  using model::TrainPhase;
  EXPECT_EQ(DecideStop(grace_ends - moment, grace_ends, TrainPhase::kTraining), StopStep::kWait);
  EXPECT_EQ(DecideStop(grace_ends, grace_ends, TrainPhase::kTraining), StopStep::kKill);
  EXPECT_EQ(DecideStop(grace_ends + moment, grace_ends, TrainPhase::kEvaluating), StopStep::kKill);
  EXPECT_EQ(DecideStop(grace_ends - moment, grace_ends, TrainPhase::kPublishing), StopStep::kSpare);
  EXPECT_EQ(DecideStop(grace_ends + moment, grace_ends, TrainPhase::kPublishing), StopStep::kSpare);
}

}  // namespace
}  // namespace proad::server
