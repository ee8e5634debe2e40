// proad-trainer distil: a small encoder from a larger one (model/training/distil_run.h).
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "server/trainer/command.h"

namespace proad::server {

// Adds `distil --teacher FILE --photographs DIR... --out FILE`. SIGTERM and SIGINT make it save its
// state and end with exit code 75; the same command goes on.
void AddDistilCommand(CLI::App& app, Command& run);

}  // namespace proad::server
