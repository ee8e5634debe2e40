// proad models: which model versions a server has, and which of them serves.
#include <iostream>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/exit_code.h"
#include "client/cli/job_text.h"
#include "client/cli/json.h"
#include "client/cli/table.h"
#include "client/model_client.h"

namespace proad::client {
namespace {

// A version is loaded, warmed up and checked before it serves.
constexpr absl::Duration kActivationDeadline = absl::Minutes(5);

struct ModelsOptions {
  ServerOptions server;
  std::string model;
  std::optional<std::string> expected;
  bool json = false;
};

std::string State(proad::v1::ModelState state) {
  return std::string(absl::StripPrefix(proad::v1::ModelState_Name(state), "MODEL_STATE_"));
}

void PrintList(const std::vector<proad::v1::ModelSummary>& models) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& model : models) {
    rows.push_back(
        {VersionName(model.model_version()),
         absl::StrCat(State(model.state()), model.default_model() ? ", default" : ""),
         model.preset().empty() ? "-" : Printable(model.preset()), UtcMinute(model.create_time()),
         model.categories().empty() ? "-" : Printable(absl::StrJoin(model.categories(), ", ")),
         Printable(model.state_reason())});
  }
  std::cout << Format({{"model"}, {"state"}, {"preset"}, {"created (UTC)"}, {"thresholds for"}, {}},
                      rows);
  if (models.empty()) std::cout << "no models: make one with 'proad import'\n";
}

int RunList(const ModelsOptions& options) {
  const auto channel = Open(options.server);
  if (!channel.ok()) return Fail(channel.status());
  const auto models =
      ModelClient(*channel, {.deadline = options.server.deadline}).ListModels(options.model);
  if (!models.ok()) return Fail(models.status());
  if (!options.json) {
    PrintList(*models);
    return kOk;
  }
  for (const auto& model : *models) std::cout << ToJson(model);
  return kOk;
}

int RunShow(const ModelsOptions& options) {
  const auto channel = Open(options.server);
  if (!channel.ok()) return Fail(channel.status());
  const auto card =
      ModelClient(*channel, {.deadline = options.server.deadline}).GetModel(options.model);
  if (!card.ok()) return Fail(card.status());
  if (options.json) {
    std::cout << ToJson(*card);
    return kOk;
  }
  std::cout << VersionName(card->model_version()) << "  " << State(card->state())
            << (card->default_model() ? ", default" : "") << "\n"
            << ToJson(*card, JsonLayout::kLines);
  return kOk;
}

int RunActivate(const ModelsOptions& options) {
  const auto channel = Open(options.server);
  if (!channel.ok()) return Fail(channel.status());
  const auto done = ModelClient(*channel, {.deadline = options.server.deadline})
                        .ActivateModel(options.model, options.expected);
  if (!done.ok()) return Fail(done.status());
  if (options.json) {
    std::cout << ToJson(*done);
    return kOk;
  }
  const std::string active = VersionName(done->active());
  if (done->has_previous() && VersionName(done->previous()) == active) {
    std::cout << active << " serves already\n";
    return kOk;
  }
  std::cout << active << " serves now; before: "
            << (done->has_previous() ? VersionName(done->previous()) : "none") << ". It took "
            << absl::StrFormat("%.1f s", absl::ToDoubleSeconds(FromProto(done->duration())));
  if (done->has_probe()) {
    std::cout << absl::StrFormat("; its probe scores %.6f, published %.6f", done->probe().score(),
                                 done->probe().expected_score());
  }
  std::cout << "\n";
  return kOk;
}

void AddOptions(CLI::App& command, ModelsOptions& options) {
  AddServerOptions(command, options.server);
  command.add_flag("--json", options.json, "one JSON object a line");
}

void AddActivate(CLI::App& models, Command& run) {
  const auto options = std::make_shared<ModelsOptions>();
  options->server.deadline = kActivationDeadline;
  CLI::App* const command = models.add_subcommand(
      "activate", "Let a version serve its name; it is loaded and checked first");
  command->add_option("model", options->model, "version that shall serve")
      ->required()
      ->type_name("NAME@VERSION")
      ->check([](const std::string& model) -> std::string {
        const size_t at = model.find('@');
        if (at != std::string::npos && at > 0 && at + 1 < model.size()) return "";
        return absl::StrCat("'", model,
                            "' does not say which version: give NAME@VERSION, as "
                            "'proad models list' shows them");
      });
  command
      ->add_option("--expect", options->expected,
                   "only if this version is active now, without the name; '' for none")
      ->type_name("VERSION");
  AddOptions(*command, *options);
  command->callback([options, &run] { run = [options] { return RunActivate(*options); }; });
}

}  // namespace

void AddModelsCommand(CLI::App& app, Command& run) {
  // One each: the environment fills the options of both, whichever is called.
  const auto list_options = std::make_shared<ModelsOptions>();
  const auto show_options = std::make_shared<ModelsOptions>();
  CLI::App* const command =
      app.add_subcommand("models", "List the model versions of a server, show or activate one");
  CLI::App* const list = command->add_subcommand("list", "List all versions and what they do");
  list->add_option("name", list_options->model, "only the versions of this model");
  AddOptions(*list, *list_options);
  list->callback([list_options, &run] { run = [list_options] { return RunList(*list_options); }; });
  CLI::App* const show = command->add_subcommand(
      "show", "Show a version's card: network, hashes, thresholds, figures of quality");
  show->add_option("model", show_options->model,
                   "name or name@version (default: the server's default model)")
      ->type_name("NAME[@VERSION]");
  AddOptions(*show, *show_options);
  show->callback([show_options, &run] { run = [show_options] { return RunShow(*show_options); }; });
  AddActivate(*command, run);
}

}  // namespace proad::client
