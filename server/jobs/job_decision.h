// What a scheduler does next, as functions of what it sees.
//
// Pure functions; safe to call from any thread.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "server/jobs/job_files.h"

namespace proad::server {

// A running job as it looks at one moment.
struct JobView {
  bool alive = false;       // its trainer
  bool has_result = false;  // result.json, and ...
  bool has_error = false;   // ... error.json are there; of interest once it is dead
  bool cancelling = false;  // somebody wants it to end
  bool stopping = false;    // this server ends
  int64_t checkpoint_step = 0;
};

enum class JobStep {
  kWait,     // it is at work
  kFinish,   // it is done: activate what it made, perhaps
  kFail,     // it gave up, and said why
  kCancel,   // it ended because it was asked to
  kLeave,    // it ended, and the next server is to go on with it
  kRestart,  // it died, or was interrupted: start another
  kGiveUp,   // it died too often
};

// `crashes` is what JobRecord::crashes becomes. A death counts unless the trainer was interrupted,
// and from 1 again when the job got beyond the checkpoint that it had at the death before.
struct JobDecision {
  JobStep step = JobStep::kWait;
  int crashes = 0;
};
JobDecision DecideRunning(const JobRecord& record, const JobView& view, int max_crashes);

// What to do about a trainer that was asked to end and has not.
enum class StopStep {
  kWait,   // its grace is not over
  kKill,   // its grace is over
  kSpare,  // it publishes its version: too late to end it
};
StopStep DecideStop(absl::Time now, absl::Time kill_at, model::TrainPhase phase);

}  // namespace proad::server
