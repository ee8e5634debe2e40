// `proad-trainer evaluate`, which `proad evaluate` runs: measures a model version on a dataset's
// test split (model/training/evaluator.h).
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "server/trainer/command.h"

namespace proad::server {

// `evaluate --store DIR MODEL[@VERSION] DATASET`, or `evaluate --version-dir DIR DATASET`.
void AddEvaluateCommand(CLI::App& command, Command& run);

}  // namespace proad::server
