// Formats training jobs as tables and text. Pure functions. Every text ends with a newline.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "proad/v1/model.pb.h"
#include "proad/v1/training.pb.h"

namespace proad::client {

// A table with one line per job.
std::string JobTable(const std::vector<proad::v1::TrainJob>& jobs);

// The job's parameters, state and progress, without its result.
std::string JobDetails(const proad::v1::TrainJob& job);

// The result of an ended job: version, metrics per category, thresholds, gate, skipped images, and
// the next command. `card` is the card of the version, which holds the thresholds; nullopt when it is
// not available.
std::string JobResult(const proad::v1::TrainJob& job,
                      const std::optional<proad::v1::ModelCard>& card, bool colour);

// One line "NOT ACTIVATED: ..." when the job should have activated its version and did not. Otherwise
// empty.
std::string Refusal(const proad::v1::TrainJob& job);

}  // namespace proad::client
