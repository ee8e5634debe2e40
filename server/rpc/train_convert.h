// Between the messages of proad/v1/training.proto and our own types. Pure functions: safe to call
// from any thread.
#pragma once

#include <proad/v1/training.pb.h>

#include <optional>

#include "absl/status/statusor.h"
#include "server/jobs/train_job.h"

namespace proad::server {

// Checks everything that can be checked without looking at the disk, and applies the overrides to
// the recipe. What follows from what there is, JobPlanner fills in; the preset is empty where none
// was named. INVALID_ARGUMENT names the field, what is wrong with it, and what is allowed;
// UNIMPLEMENTED for what this server does not offer yet.
absl::StatusOr<JobSpec> ParseTrainJobSpec(const v1::TrainJobSpec& spec);

// The job whole, its spec with defaults filled in.
void FillTrainJob(const TrainJob& job, v1::TrainJob& message);

// nullopt for a number that is no state.
std::optional<JobState> ParseState(v1::TrainJobState state);

}  // namespace proad::server
