// `proad-trainer plan`: writes the spec.json of a training job without a server, for `proad-trainer
// train` processes that Kubernetes or torchrun starts.
#pragma once

#include <CLI/App.hpp>

#include "server/trainer/command.h"

namespace proad::server {

// `plan --job DIR --name NAME --dataset PATH --encoder-file FILE`. Several processes may plan the
// same job at the same time; DIR must not contain another job.
void AddPlanCommand(CLI::App& command, Command& run);

}  // namespace proad::server
