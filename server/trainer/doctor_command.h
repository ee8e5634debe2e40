// `proad-trainer doctor`, which `proad doctor` runs.
#pragma once

#include <CLI/App.hpp>

#include "server/trainer/command.h"

namespace proad::server {

// `doctor` prints, as JSON, what LibTorch can use on this machine.
void AddDoctorCommand(CLI::App& command, Command& run);

}  // namespace proad::server
