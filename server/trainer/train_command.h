// proad-trainer train: one job of the server, in a process of its own (job_files.h,
// trainer_process.h).
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "server/trainer/command.h"

namespace proad::server {

// Adds `train --job DIR --store STORE`. It exits with the codes of trainer_process.h; SIGTERM makes
// it save its state and end.
void AddTrainCommand(CLI::App& app, Command& run);

}  // namespace proad::server
