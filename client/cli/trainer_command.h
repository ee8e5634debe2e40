// Commands that the program proad-trainer executes.
#pragma once

#include <string>
#include <vector>

#include "client/cli/command.h"

namespace proad::client {

// Makes `command` start proad-trainer with `words` and all following arguments, including --help,
// because only proad-trainer knows the options. The exit code is that of proad-trainer.
void ForwardToTrainer(CLI::App& command, const std::vector<std::string>& words, Command& run);

}  // namespace proad::client
