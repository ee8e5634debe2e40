// proad encoder: distils small encoders from large ones. proad-trainer executes it.
#include "client/cli/command.h"
#include "client/cli/trainer_command.h"

namespace proad::client {

void AddEncoderCommand(CLI::App& app, Command& run) {
  CLI::App* const command = app.add_subcommand("encoder", "Distil encoders");
  ForwardToTrainer(
      *command->add_subcommand(
          "distil", "Train a small encoder to reproduce a large one (runs proad-trainer)"),
      {"distil"}, run);
}

}  // namespace proad::client
