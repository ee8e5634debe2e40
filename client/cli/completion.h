// Completion scripts for shells, generated from the commands and options of the application.
//
// Functions without state: safe to call from any thread.
#pragma once

#include <CLI/App.hpp>
#include <string>

namespace proad::client {

// Returns a script that completes the words of `app` in bash. A shell sources it; it needs no other
// file.
std::string BashCompletion(CLI::App& app);

// The same for zsh, with descriptions. A shell sources it, or loads it as _NAME from a folder of
// fpath.
std::string ZshCompletion(CLI::App& app);

// Returns the validator name under which AddChoice stores the possible values of an option,
// separated by spaces. The two functions above read them from the name.
std::string ChoicesName(const std::string& words);

}  // namespace proad::client
