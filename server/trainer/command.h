// What the commands of proad-trainer have in common. NAME_command.h and .cc implement the command
// NAME; main.cc has the table of all commands.
//
// A function Add...Command(CLI::App& command, Command& run) adds the options of its command to
// `command`. When the command is on the command line, parsing sets `run` to the function that
// executes it. That function returns the exit code; main prints the exceptions that it throws.
#pragma once

#include <functional>

namespace proad::server {

using Command = std::function<int()>;

}  // namespace proad::server
