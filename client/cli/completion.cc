// proad completion: prints the completion script for bash or zsh. Hidden in --help, because packages
// call it.
#include "client/cli/completion.h"

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/options.h"

namespace proad::client {
namespace {

constexpr char kChoices[] = "choices ";

struct Word {
  std::string text;
  std::string description;
};

// An option that is followed by a value.
struct ValueOption {
  std::vector<std::string> names;
  std::string choices;  // separated by spaces; "" for any value
};

// The words that can follow one command.
struct CommandWords {
  std::string path;  // "" for the program, otherwise for example "models list"
  std::vector<Word> commands;
  std::vector<Word> options;
  std::vector<ValueOption> values;
  bool arguments = false;  // true when it has positional arguments
};

std::vector<std::string> NamesOf(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back(absl::StrCat("-", name));
  for (const std::string& name : option.get_lnames()) names.push_back(absl::StrCat("--", name));
  return names;
}

std::string ChoicesOf(CLI::Option& option) {
  for (int i = 0;; ++i) {
    const CLI::Validator* validator = nullptr;
    try {
      validator = option.get_validator(i);
    } catch (const CLI::OptionNotFound&) {
      return "";
    }
    const std::string& name = validator->get_name();
    if (absl::StartsWith(name, kChoices)) return name.substr(sizeof(kChoices) - 1);
  }
}

void AddOption(CLI::Option& option, CommandWords& command) {
  if (option.get_group().empty()) return;  // hidden
  const std::vector<std::string> names = NamesOf(option);
  if (names.empty()) {
    command.arguments = true;
    return;
  }
  for (const std::string& name : names) {
    command.options.push_back({name, option.get_description()});
  }
  if (option.get_items_expected_max() > 0) command.values.push_back({names, ChoicesOf(option)});
}

void AddCommand(CLI::App& app, const std::string& path, std::vector<CommandWords>& all) {
  CommandWords command = {.path = path, .arguments = app.get_prefix_command()};
  for (CLI::Option* const option : app.get_options([](CLI::Option*) { return true; })) {
    AddOption(*option, command);
  }
  const auto shown = app.get_subcommands([](CLI::App* sub) { return !sub->get_group().empty(); });
  for (const CLI::App* const sub : shown) {
    command.commands.push_back({sub->get_name(), sub->get_description()});
  }
  all.push_back(std::move(command));
  for (CLI::App* const sub : shown) {
    AddCommand(*sub, absl::StrCat(path, path.empty() ? "" : " ", sub->get_name()), all);
  }
}

std::vector<CommandWords> AllCommands(CLI::App& app) {
  std::vector<CommandWords> all;
  AddCommand(app, "", all);
  return all;
}

// Joins the names of an option to the patterns of a shell's case statement, for example
// "models list --server"|"models list -s".
std::string Pattern(const std::string& path, const std::vector<std::string>& names) {
  return absl::StrJoin(names, "|", [&](std::string* out, const std::string& name) {
    absl::StrAppend(out, "\"", path, " ", name, "\"");
  });
}

// Returns two functions for both shells. _proad_wants_value succeeds when the option "PATH OPTION"
// takes a value, and sets `choices`. _proad_is_command succeeds when "PATH WORD" is a command.
std::string Tables(const std::vector<CommandWords>& all) {
  std::string text = "_proad_wants_value() {\n  choices=\"\"\n  case \"$1\" in\n";
  for (const CommandWords& command : all) {
    for (const ValueOption& option : command.values) {
      absl::StrAppend(&text, "    ", Pattern(command.path, option.names), ") choices=\"",
                      option.choices, "\" ;;\n");
    }
  }
  absl::StrAppend(&text, "    *) return 1 ;;\n  esac\n}\n",
                  "_proad_is_command() {\n  case \"$1\" in\n");
  for (const CommandWords& command : all) {
    for (const Word& sub : command.commands) {
      absl::StrAppend(&text, "    \"", command.path, " ", sub.text, "\") ;;\n");
    }
  }
  absl::StrAppend(&text, "    *) return 1 ;;\n  esac\n}\n");
  return text;
}

// Body of the loop over the words before the cursor, for both shells: follows commands, and
// remembers an option whose value is expected.
constexpr char kWalk[] = R"(    if [[ $wants ]]; then
      [[ $word == "=" ]] || wants=""
    elif _proad_wants_value "$command $word"; then
      wants="$command $word"
    elif _proad_is_command "$command $word"; then
      command="${command:+$command }$word"
    fi
)";

std::string Texts(const std::vector<Word>& words) {
  return absl::StrJoin(words, " ",
                       [](std::string* out, const Word& word) { out->append(word.text); });
}

// Formats words for zsh's _describe: in single quotes, with a colon before the description.
std::string Described(const std::vector<Word>& words) {
  std::string text;
  for (const Word& word : words) {
    absl::StrAppend(&text, " '", absl::StrReplaceAll(word.text, {{":", "\\:"}}), ":",
                    absl::StrReplaceAll(word.description, {{"'", "'\\''"}, {"\n", " "}}), "'");
  }
  return text;
}

int Print(CLI::App& app, const std::string& shell) {
  std::cout << (shell == "zsh" ? ZshCompletion(app) : BashCompletion(app));
  return kOk;
}

}  // namespace

std::string ChoicesName(const std::string& words) { return absl::StrCat(kChoices, words); }

std::string BashCompletion(CLI::App& app) {
  const std::vector<CommandWords> all = AllCommands(app);
  std::string text = absl::StrCat(
      "# Completion of proad for bash, generated by 'proad completion bash'.\n", Tables(all),
      "_proad() {\n", "  local current=\"${COMP_WORDS[COMP_CWORD]}\" command=\"\" wants=\"\"",
      " choices=\"\" word i\n  COMPREPLY=()\n", "  for ((i = 1; i < COMP_CWORD; i++)); do\n",
      "    word=\"${COMP_WORDS[i]}\"\n", kWalk, "  done\n");
  absl::StrAppend(&text, R"(  if [[ $wants ]]; then
    [[ $current == "=" ]] && current=""
    _proad_wants_value "$wants"
    COMPREPLY=($(compgen -W "$choices" -- "$current"))
    [[ -z $choices ]] || compopt +o default 2>/dev/null || true
    return
  fi
  local commands="" options="" arguments=""
  case "$command" in
)");
  for (const CommandWords& command : all) {
    absl::StrAppend(&text, "    \"", command.path, "\") commands=\"", Texts(command.commands),
                    "\" options=\"", Texts(command.options), "\" arguments=\"",
                    command.arguments ? "1" : "", "\" ;;\n");
  }
  absl::StrAppend(&text, R"(  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  elif [[ $commands ]]; then
    COMPREPLY=($(compgen -W "$commands" -- "$current"))
  fi
  # Offers file names only where arguments are possible.
  [[ $arguments ]] || compopt +o default 2>/dev/null || true
}
complete -o default -F _proad proad
)");
  return text;
}

std::string ZshCompletion(CLI::App& app) {
  const std::vector<CommandWords> all = AllCommands(app);
  std::string text = absl::StrCat(
      "#compdef proad\n# Completion of proad for zsh, generated by 'proad completion zsh'.\n",
      Tables(all), "_proad() {\n  local command=\"\" wants=\"\" choices=\"\" word i\n",
      "  for ((i = 2; i < CURRENT; i++)); do\n    word=\"${words[i]}\"\n", kWalk, "  done\n");
  absl::StrAppend(&text, R"(  if [[ $wants ]]; then
    _proad_wants_value "$wants"
    if [[ $choices ]]; then compadd -- ${=choices}; else _files; fi
    return
  fi
  local -a commands options
  local arguments=""
  case "$command" in
)");
  for (const CommandWords& command : all) {
    absl::StrAppend(&text, "    \"", command.path, "\")\n      commands=(",
                    Described(command.commands), " )\n      options=(", Described(command.options),
                    " )\n      arguments=\"", command.arguments ? "1" : "", "\" ;;\n");
  }
  absl::StrAppend(&text, R"(  esac
  if [[ ${words[CURRENT]} == -* ]]; then
    _describe -o option options
  elif (( ${#commands} )); then
    _describe command commands
  elif [[ $arguments ]]; then
    _files
  fi
}
if [[ ${funcstack[1]} == _proad ]]; then _proad "$@"; else compdef _proad proad; fi
)");
  return text;
}

void AddCompletionCommand(CLI::App& app, Command& run) {
  CLI::App* const command =
      app.add_subcommand("completion", "Print a completion script for a shell");
  command->group("");  // hidden
  const auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash or zsh")
      ->required()
      ->check([](const std::string& word) -> std::string {
        if (word == "bash" || word == "zsh") return "";
        return absl::StrCat("'", word, "' is not one of bash, zsh");
      });
  command->callback([&app, shell, &run] { run = [&app, shell] { return Print(app, *shell); }; });
}

}  // namespace proad::client
