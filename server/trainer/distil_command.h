// `proad-trainer distil`, which `proad encoder distil` runs: trains a small encoder to reproduce
// the features of a larger one (model/training/distil_run.h).
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "server/trainer/command.h"

namespace proad::server {

// `distil --teacher FILE --photographs DIR... --out FILE`. On SIGTERM or SIGINT it saves its state
// and exits with code 75; the same command then continues.
void AddDistilCommand(CLI::App& command, Command& run);

}  // namespace proad::server
