// Options that several commands share.
#pragma once

#include <CLI/App.hpp>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "client/cli/completion.h"

namespace proad::client {

// Returns "" if `word` is a key of `words`, and otherwise an error that lists the keys.
template <typename Value>
std::string CheckChoice(const std::map<std::string, Value>& words, const std::string& word) {
  if (words.count(word) > 0) return "";
  const auto name_of = [](std::string* out, const auto& entry) { out->append(entry.first); };
  return absl::StrCat("'", word, "' is not one of ", absl::StrJoin(words, ", ", name_of));
}

// The same as a validator. Its name holds the words, for shell completion.
template <typename Value>
CLI::Validator OneOf(const std::map<std::string, Value>& words) {
  std::vector<std::string> names;
  for (const auto& [name, value] : words) names.push_back(name);
  return CLI::Validator([words](std::string& word) { return CheckChoice(words, word); }, "",
                        ChoicesName(absl::StrJoin(names, " ")));
}

// Adds an option whose words stand for values. Calls `set` with the value.
template <typename Value>
void AddChoice(CLI::App& command, const std::string& name,
               const std::map<std::string, Value>& words, const std::function<void(Value)>& set,
               const std::string& description) {
  command
      .add_option_function<std::string>(
          name, [words, set](const std::string& word) { set(words.at(word)); }, description)
      ->type_name("WORD")
      ->check(OneOf(words));
}

// The same for an option that can be repeated. Calls `set` with each value.
template <typename Value>
void AddChoices(CLI::App& command, const std::string& name,
                const std::map<std::string, Value>& words, const std::function<void(Value)>& set,
                const std::string& description) {
  command
      .add_option_function<std::vector<std::string>>(
          name,
          [words, set](const std::vector<std::string>& given) {
            for (const std::string& word : given) set(words.at(word));
          },
          description)
      ->type_name("WORD")
      ->allow_extra_args(false)
      ->check(OneOf(words));
}

// Adds the repeatable option --label KEY=VALUE. Calls `add` with each key and value.
void AddLabels(CLI::App& command,
               const std::function<void(const std::string&, const std::string&)>& add,
               const std::string& description);

// Adds an option for a duration above zero, for example 500ms, 10s or 2m. Its default is `value`.
CLI::Option* AddDuration(CLI::App& command, const std::string& name, absl::Duration& value,
                         const std::string& description);

// Adds --patience: how long a watch waits for an unreachable server.
void AddPatience(CLI::App& command, absl::Duration& patience);

}  // namespace proad::client
