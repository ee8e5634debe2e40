// proad import: makes a model version from weight files. proad-trainer does it; this hands the
// words over.
#include <iostream>

#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/exit_code.h"
#include "client/cli/trainer_program.h"

namespace proad::client {

void AddImportCommand(CLI::App& app, Command& run) {
  CLI::App* const command = app.add_subcommand(
      "import", "Make a model version from weight files (done by proad-trainer)");
  command->prefix_command();
  // --help goes to the program that knows the options.
  command->set_help_flag();
  command->callback([command, &run] {
    run = [arguments = command->remaining()]() -> int {
      const auto trainer = FindTrainer();
      absl::Status status = trainer.status();
      if (status.ok()) {
        std::vector<std::string> words = {"import"};
        words.insert(words.end(), arguments.begin(), arguments.end());
        status = ExecuteTrainer(*trainer, words);
      }
      Fail(status);
      return kUsage;
    };
  });
}

}  // namespace proad::client
