// Parses the messages of proad/v1/training.proto that describe a job. Pure functions: safe to call
// from any thread.
#pragma once

#include <proad/v1/training.pb.h>

#include <optional>

#include "absl/status/statusor.h"
#include "server/jobs/train_job.h"

namespace proad::server {

// Checks the request as far as possible without reading the disk, and applies the overrides to the
// recipe. JobPlanner fills in the values that depend on files; the preset is empty when the request
// has none. INVALID_ARGUMENT with the field; the message states the problem and the allowed values.
absl::StatusOr<JobSpec> ParseTrainJobSpec(const v1::TrainJobSpec& spec);

// nullopt for a number that the enum does not have.
std::optional<JobState> ParseState(v1::TrainJobState state);

}  // namespace proad::server
