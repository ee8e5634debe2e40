// The subcommands of `proad-trainer`, one file each. Each adds its options to the application; when
// its words are on the command line, parsing sets `run` to what it does, which returns the exit
// code. What it throws, main prints.
#pragma once

#include <functional>

namespace proad::server {

using Command = std::function<int()>;

}  // namespace proad::server
