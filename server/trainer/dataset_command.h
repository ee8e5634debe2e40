// `proad-trainer dataset check`, which `proad dataset check` runs: checks a dataset before a job
// uses it.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "model/dataset/dataset.h"
#include "server/trainer/command.h"

namespace proad::server {

// `dataset check PATH` exits with 1 when an image or a mask cannot be used, or when an image is in
// both splits.
void AddDatasetCommand(CLI::App& command, Command& run);

// Adds --format and --category, which select the layout and the categories of a dataset.
void AddDatasetOptions(CLI::App& command, model::DatasetOptions& options);

}  // namespace proad::server
