// proad evaluate: measures a version on the test split of a dataset. proad-trainer executes it.
#include "client/cli/command.h"
#include "client/cli/trainer_command.h"

namespace proad::client {

void AddEvaluateCommand(CLI::App& app, Command& run) {
  ForwardToTrainer(
      *app.add_subcommand("evaluate",
                          "Measure a version on the test split of a dataset (runs proad-trainer)"),
      {"evaluate"}, run);
}

}  // namespace proad::client
