#include "server/jobs/job_decision.h"

namespace proad::server {

JobDecision DecideRunning(const JobRecord& record, const JobView& view, int max_crashes) {
  if (view.alive) return {JobStep::kWait, record.crashes};
  if (view.has_result) return {JobStep::kFinish, record.crashes};
  if (view.cancelling) return {JobStep::kCancel, record.crashes};
  if (view.has_error) return {JobStep::kFail, record.crashes};
  if (view.stopping) return {JobStep::kLeave, record.crashes};
  if (record.interrupted) return {JobStep::kRestart, record.crashes};
  const int crashes = view.checkpoint_step > record.crash_step ? 1 : record.crashes + 1;
  return {crashes >= max_crashes ? JobStep::kGiveUp : JobStep::kRestart, crashes};
}

StopStep DecideStop(absl::Time now, absl::Time kill_at, model::TrainPhase phase) {
  if (phase == model::TrainPhase::kPublishing) return StopStep::kSpare;
  return now < kill_at ? StopStep::kWait : StopStep::kKill;
}

}  // namespace proad::server
