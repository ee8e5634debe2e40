// `proad-trainer plan`: writes down a training job without a server, for processes that are started
// from outside.
#pragma once

#include <CLI/App.hpp>

#include "server/trainer/command.h"

namespace proad::server {

void AddPlanCommand(CLI::App& app, Command& run);

}  // namespace proad::server
