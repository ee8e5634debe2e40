// Commands that proad-trainer does.
#pragma once

#include <string>
#include <vector>

#include "client/cli/command.h"

namespace proad::client {

// Makes `command` hand everything that follows it over to proad-trainer, after `words`. --help goes
// there too: that program knows the options.
void HandOver(CLI::App& command, const std::vector<std::string>& words, Command& run);

}  // namespace proad::client
