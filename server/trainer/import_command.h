// `proad-trainer import`, which `proad import` runs: makes a model version from weight files
// (model/network/import_version.h).
#pragma once

#include <CLI/App.hpp>

#include "server/trainer/command.h"

namespace proad::server {

// `import --store DIR --name NAME --encoder FILE --weights FILE`.
void AddImportCommand(CLI::App& command, Command& run);

}  // namespace proad::server
