// proad import, proad evaluate and proad encoder: proad-trainer does them; this hands the words
// over.
#include "client/cli/trainer_commands.h"

#include "client/cli/connection.h"
#include "client/cli/exit_code.h"
#include "client/cli/trainer_program.h"

namespace proad::client {

void HandOver(CLI::App& command, const std::vector<std::string>& words, Command& run) {
  command.prefix_command();
  command.set_help_flag();
  command.callback([&command, words, &run] {
    std::vector<std::string> all = words;
    const std::vector<std::string> arguments = command.remaining();
    all.insert(all.end(), arguments.begin(), arguments.end());
    run = [all]() -> int {
      const auto trainer = FindTrainer();
      Fail(trainer.ok() ? ExecuteTrainer(*trainer, all) : trainer.status());
      return kUsage;
    };
  });
}

void AddImportCommand(CLI::App& app, Command& run) {
  HandOver(*app.add_subcommand("import",
                               "Make a model version from weight files (done by proad-trainer)"),
           {"import"}, run);
}

void AddEvaluateCommand(CLI::App& app, Command& run) {
  HandOver(*app.add_subcommand(
               "evaluate", "Measure a version on a dataset's test split (done by proad-trainer)"),
           {"evaluate"}, run);
}

void AddEncoderCommand(CLI::App& app, Command& run) {
  CLI::App* const command = app.add_subcommand("encoder", "Make encoders");
  HandOver(*command->add_subcommand(
               "distil",
               "Make a small encoder that sees what a larger one does (done by proad-trainer)"),
           {"distil"}, run);
}

}  // namespace proad::client
