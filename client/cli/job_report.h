// Training jobs as tables and texts, for people. Pure functions; every text ends with a newline.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "proad/v1/model.pb.h"
#include "proad/v1/training.pb.h"

namespace proad::client {

// One line a job.
std::string JobTable(const std::vector<proad::v1::TrainJob>& jobs);

// What was asked for and where the job is in its life; no result.
std::string JobDetails(const proad::v1::TrainJob& job);

// How a job ended: its version, figures by category, thresholds, what became of the gate, what was
// left out, and what to do next. `card` is its version's, where it could be had: the thresholds
// stand in it.
std::string JobResult(const proad::v1::TrainJob& job,
                      const std::optional<proad::v1::ModelCard>& card, bool colour);

// "NOT ACTIVATED: ..." when activation was asked for and did not happen; "" otherwise. One line.
std::string Refusal(const proad::v1::TrainJob& job);

}  // namespace proad::client
