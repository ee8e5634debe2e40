// proad-trainer evaluate: how good a version is on a dataset's test split.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "server/trainer/command.h"

namespace proad::server {

// Adds `evaluate MODEL[@VERSION] DATASET` and `evaluate --version-dir DIR DATASET`.
void AddEvaluateCommand(CLI::App& app, Command& run);

}  // namespace proad::server
