// proad import: creates a model version from weight files. proad-trainer executes it.
#include "client/cli/command.h"
#include "client/cli/trainer_command.h"

namespace proad::client {

void AddImportCommand(CLI::App& app, Command& run) {
  ForwardToTrainer(*app.add_subcommand(
                       "import", "Create a model version from weight files (runs proad-trainer)"),
                   {"import"}, run);
}

}  // namespace proad::client
