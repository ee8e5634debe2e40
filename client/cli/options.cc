#include "client/cli/options.h"

#include <CLI/Config.hpp>

namespace proad::client {

void AddLabels(CLI::App& command,
               const std::function<void(const std::string&, const std::string&)>& add,
               const std::string& description) {
  command
      .add_option_function<std::vector<std::string>>(
          "--label",
          [add](const std::vector<std::string>& labels) {
            for (const std::string& label : labels) {
              const size_t equals = label.find('=');
              add(label.substr(0, equals), label.substr(equals + 1));
            }
          },
          description)
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false)
      ->check([](const std::string& label) -> std::string {
        const size_t equals = label.find('=');
        if (equals != std::string::npos && equals > 0) return "";
        return absl::StrCat("'", label, "' is not KEY=VALUE");
      });
}

CLI::Option* AddDuration(CLI::App& command, const std::string& name, absl::Duration& value,
                         const std::string& description) {
  return command
      .add_option_function<std::string>(
          name, [&value](const std::string& text) { absl::ParseDuration(text, &value); },
          description)
      ->type_name("DURATION")
      ->default_str(absl::FormatDuration(value))
      ->check([](const std::string& text) -> std::string {
        absl::Duration parsed;
        if (absl::ParseDuration(text, &parsed) && parsed > absl::ZeroDuration()) return "";
        return absl::StrCat("'", text,
                            "' is not a duration above zero; give for example 500ms, 10s or 2m");
      });
}

void AddPatience(CLI::App& command, absl::Duration& patience) {
  AddDuration(command, "--patience", patience,
              "while watching a job: longest time to wait for an unreachable server");
}

}  // namespace proad::client
