// proad models: lists and shows the model versions of a server, and changes which of them serve.
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

// The call returns after the server has loaded, run and checked the version.
constexpr absl::Duration kLoadingDeadline = absl::Minutes(5);

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
  if (models.empty()) std::cout << "no models; create one with 'proad import'\n";
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

// "; its probe scores ..."; empty without a probe.
template <typename Response>
std::string ProbeText(const Response& done) {
  if (!done.has_probe()) return "";
  return absl::StrFormat("; its probe scores %.6f, published %.6f", done.probe().score(),
                         done.probe().expected_score());
}

std::string Seconds(const google::protobuf::Duration& duration) {
  return absl::StrFormat("%.1f s", absl::ToDoubleSeconds(FromProto(duration)));
}

std::string Megabytes(uint64_t bytes) { return absl::StrFormat("%.1f MB", 1e-6 * bytes); }

template <typename Response>
std::string SwapText(const Response& done) {
  return absl::StrCat(VersionName(done.active()), " serves now; before: ",
                      done.has_previous() ? VersionName(done.previous()) : "none", ". It took ",
                      Seconds(done.duration()));
}

std::string Text(const proad::v1::ActivateModelResponse& done) {
  if (done.has_previous() && VersionName(done.previous()) == VersionName(done.active())) {
    return absl::StrCat(VersionName(done.active()), " serves already; nothing was changed");
  }
  return absl::StrCat(SwapText(done), ProbeText(done));
}

std::string Text(const proad::v1::RollbackModelResponse& done) { return SwapText(done); }

std::string Text(const proad::v1::LoadModelResponse& done) {
  return absl::StrCat(VersionName(done.model_version()), " is in memory, ", State(done.state()),
                      ", with ", Megabytes(done.device_memory_bytes()), " of weights. It took ",
                      Seconds(done.load_duration()), ProbeText(done));
}

std::string Text(const proad::v1::UnloadModelResponse& done) {
  return absl::StrCat(VersionName(done.model_version()), " is not in memory; ",
                      Megabytes(done.freed_bytes()), " of weights were freed");
}

std::string Text(const proad::v1::DeleteModelResponse& done) {
  return absl::StrCat(VersionName(done.model_version()), " is deleted; ",
                      Megabytes(done.freed_bytes()), " of disk space were freed");
}

// Makes one call that changes something and prints its result. `call`: (ModelClient) -> StatusOr.
template <typename Call>
int Change(const ModelsOptions& options, const Call& call) {
  const auto channel = Open(options.server);
  if (!channel.ok()) return Fail(channel.status());
  const auto done = call(ModelClient(*channel, {.deadline = options.server.deadline}));
  if (!done.ok()) return Fail(done.status());
  if (options.json) {
    std::cout << ToJson(*done);
  } else {
    std::cout << Text(*done) << "\n";
  }
  return kOk;
}

void AddOptions(CLI::App& command, ModelsOptions& options) {
  AddServerOptions(command, options.server);
  command.add_flag("--json", options.json, "print JSON, one object per line");
}

std::string CheckVersion(const std::string& model) {
  const size_t at = model.find('@');
  if (at != std::string::npos && at > 0 && at + 1 < model.size()) return "";
  return absl::StrCat("'", model, "' names no version: give NAME@VERSION, as shown by ",
                      "'proad models list'");
}

// Adds a subcommand that changes something with one call. `call`: (ModelClient, ModelsOptions) ->
// StatusOr. Each subcommand has its own options object, because the parser fills options from the
// environment for all subcommands, not only for the called one.
template <typename Call>
CLI::App* AddChange(CLI::App& models, Command& run, const std::string& name,
                    const std::string& description, const std::shared_ptr<ModelsOptions>& options,
                    Call call) {
  options->server.deadline = kLoadingDeadline;
  CLI::App* const command = models.add_subcommand(name, description);
  AddOptions(*command, *options);
  command->callback([options, call, &run] {
    run = [options, call] {
      return Change(*options, [&](const ModelClient& client) { return call(client, *options); });
    };
  });
  return command;
}

void AddVersion(CLI::App& command, ModelsOptions& options, const std::string& description) {
  command.add_option("model", options.model, description)
      ->required()
      ->type_name("NAME@VERSION")
      ->check(CheckVersion);
}

void AddExpected(CLI::App& command, ModelsOptions& options) {
  command
      .add_option("--expect", options.expected,
                  "change something only if this version (without the name) is active now; '' for "
                  "none")
      ->type_name("VERSION");
}

void AddActivateCommand(CLI::App& models, Command& run) {
  const auto options = std::make_shared<ModelsOptions>();
  CLI::App* const command = AddChange(
      models, run, "activate", "Make a version the active one, after loading and checking it",
      options, [](const ModelClient& client, const ModelsOptions& given) {
        return client.ActivateModel(given.model, given.expected);
      });
  AddVersion(*command, *options, "version to activate");
  AddExpected(*command, *options);
}

void AddRollbackCommand(CLI::App& models, Command& run) {
  const auto options = std::make_shared<ModelsOptions>();
  CLI::App* const command = AddChange(
      models, run, "rollback", "Activate the version that was active before the present one",
      options, [](const ModelClient& client, const ModelsOptions& given) {
        return client.RollbackModel(given.model, given.expected);
      });
  command->add_option("name", options->model, "model, without version")->required();
  AddExpected(*command, *options);
}

void AddMemoryCommands(CLI::App& models, Command& run) {
  auto options = std::make_shared<ModelsOptions>();
  CLI::App* command =
      AddChange(models, run, "load", "Load a version into memory without activating it", options,
                [](const ModelClient& client, const ModelsOptions& given) {
                  return client.LoadModel(given.model);
                });
  AddVersion(*command, *options, "version to load");
  options = std::make_shared<ModelsOptions>();
  command = AddChange(models, run, "unload", "Remove a version from memory", options,
                      [](const ModelClient& client, const ModelsOptions& given) {
                        return client.UnloadModel(given.model);
                      });
  AddVersion(*command, *options, "version to unload");
}

void AddDeleteCommand(CLI::App& models, Command& run) {
  const auto options = std::make_shared<ModelsOptions>();
  CLI::App* const command =
      AddChange(models, run, "delete",
                "Delete a version that is not in memory from the server's store permanently",
                options, [](const ModelClient& client, const ModelsOptions& given) {
                  return client.DeleteModel(given.model);
                });
  AddVersion(*command, *options, "version to delete");
}

}  // namespace

void AddModelsCommand(CLI::App& app, Command& run) {
  const auto list_options = std::make_shared<ModelsOptions>();
  const auto show_options = std::make_shared<ModelsOptions>();
  CLI::App* const command = app.add_subcommand(
      "models", "List, show, activate, load and delete the model versions of a server");
  CLI::App* const list = command->add_subcommand("list", "List the versions and their states");
  list->add_option("name", list_options->model, "only the versions of this model");
  AddOptions(*list, *list_options);
  list->callback([list_options, &run] { run = [list_options] { return RunList(*list_options); }; });
  CLI::App* const show = command->add_subcommand(
      "show", "Show a version's card: network, hashes, thresholds and metrics");
  show->add_option("model", show_options->model,
                   "name or name@version (default: the server's default model)")
      ->type_name("NAME[@VERSION]");
  AddOptions(*show, *show_options);
  show->callback([show_options, &run] { run = [show_options] { return RunShow(*show_options); }; });
  AddActivateCommand(*command, run);
  AddRollbackCommand(*command, run);
  AddMemoryCommands(*command, run);
  AddDeleteCommand(*command, run);
}

}  // namespace proad::client
