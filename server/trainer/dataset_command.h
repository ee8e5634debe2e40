// proad-trainer dataset: looks into a dataset before a job depends on it.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "model/dataset/dataset.h"
#include "server/trainer/command.h"

namespace proad::server {

// Adds `dataset check PATH`. It exits with 1 when a picture or mask cannot be used, or a picture to
// test on is also trained on.
void AddDatasetCommand(CLI::App& app, Command& run);

// Adds --format and --category, which say what to read of a dataset.
void AddDatasetOptions(CLI::App& command, model::DatasetOptions& options);

}  // namespace proad::server
