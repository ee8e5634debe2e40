#include "client/cli/trainer_command.h"

#include "client/cli/connection.h"
#include "client/cli/exit_code.h"
#include "client/cli/trainer_program.h"

namespace proad::client {

void ForwardToTrainer(CLI::App& command, const std::vector<std::string>& words, Command& run) {
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

}  // namespace proad::client
