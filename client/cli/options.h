// Options that several commands have.
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

// "" for a key of `words`, otherwise what is wrong with the word and which there are.
template <typename Value>
std::string CheckChoice(const std::map<std::string, Value>& words, const std::string& word) {
  if (words.count(word) > 0) return "";
  const auto name_of = [](std::string* out, const auto& entry) { out->append(entry.first); };
  return absl::StrCat("'", word, "' is none of ", absl::StrJoin(words, ", ", name_of));
}

// The same as an option's validator, named so that shells can complete the words.
template <typename Value>
CLI::Validator OneOf(const std::map<std::string, Value>& words) {
  std::vector<std::string> names;
  for (const auto& [name, value] : words) names.push_back(name);
  return CLI::Validator([words](std::string& word) { return CheckChoice(words, word); }, "",
                        ChoicesName(absl::StrJoin(names, " ")));
}

// An option whose words stand for values; `set` is called with the value.
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

// One that may be given several times; `set` is called with the value of each.
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

// --label KEY=VALUE, several times; `add` is called with each.
void AddLabels(CLI::App& command,
               const std::function<void(const std::string&, const std::string&)>& add,
               const std::string& description);

// A duration, for example 500ms, 10s or 2m; above zero. Its default is what `value` holds.
CLI::Option* AddDuration(CLI::App& command, const std::string& name, absl::Duration& value,
                         const std::string& description);

// --patience: how long a watch waits for a server that is gone.
void AddPatience(CLI::App& command, absl::Duration& patience);

}  // namespace proad::client
