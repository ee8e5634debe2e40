// Shell completion, made from the commands and options themselves.
//
// Functions without state: safe to call from any thread.
#pragma once

#include <CLI/App.hpp>
#include <string>

namespace proad::client {

// The script that completes the words of `app` in bash: to be sourced, needs nothing else.
std::string BashCompletion(CLI::App& app);

// The same for zsh, with descriptions: a file _NAME in a folder of fpath, or to be sourced.
std::string ZshCompletion(CLI::App& app);

// The words that an option's value can be, as AddChoice keeps them; the option's validator of this
// name is asked by the two above.
std::string ChoicesName(const std::string& words);

}  // namespace proad::client
