// `proad-trainer train`, which the server runs for each training job: trains a model in a process
// of its own. server/jobs/job_files.h describes the files that it shares with the server.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "server/trainer/command.h"

namespace proad::server {

// `train --job DIR --store STORE` exits with the codes of server/jobs/trainer_process.h. On SIGTERM
// it saves its state and exits.
void AddTrainCommand(CLI::App& command, Command& run);

}  // namespace proad::server
