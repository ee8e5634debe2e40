// proad models: which model versions a server has, and what they do.
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

// "; its probe scores ...", where it has one.
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
    return absl::StrCat(VersionName(done.active()), " serves already");
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
                      Megabytes(done.freed_bytes()), " of weights became free");
}

std::string Text(const proad::v1::DeleteModelResponse& done) {
  return absl::StrCat(VersionName(done.model_version()), " is removed; ",
                      Megabytes(done.freed_bytes()), " of disk became free");
}

// Asks the server for one change and says what came of it. `ask`: (ModelClient) -> StatusOr
template <typename Ask>
int Change(const ModelsOptions& options, const Ask& ask) {
  const auto channel = Open(options.server);
  if (!channel.ok()) return Fail(channel.status());
  const auto done = ask(ModelClient(*channel, {.deadline = options.server.deadline}));
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
  command.add_flag("--json", options.json, "one JSON object a line");
}

std::string CheckVersion(const std::string& model) {
  const size_t at = model.find('@');
  if (at != std::string::npos && at > 0 && at + 1 < model.size()) return "";
  return absl::StrCat("'", model, "' does not say which version: give NAME@VERSION, as ",
                      "'proad models list' shows them");
}

// A command that changes what a version does; `ask` gets the client and the options.
template <typename Ask>
CLI::App* AddChange(CLI::App& models, Command& run, const std::string& name,
                    const std::string& what, const std::shared_ptr<ModelsOptions>& options,
                    Ask ask) {
  options->server.deadline = kLoadingDeadline;
  CLI::App* const command = models.add_subcommand(name, what);
  AddOptions(*command, *options);
  command->callback([options, ask, &run] {
    run = [options, ask] {
      return Change(*options, [&](const ModelClient& client) { return ask(client, *options); });
    };
  });
  return command;
}

void AddVersion(CLI::App& command, ModelsOptions& options, const std::string& what) {
  command.add_option("model", options.model, what)
      ->required()
      ->type_name("NAME@VERSION")
      ->check(CheckVersion);
}

void AddExpected(CLI::App& command, ModelsOptions& options) {
  command
      .add_option("--expect", options.expected,
                  "only if this version is active now, without the name; '' for none")
      ->type_name("VERSION");
}

void AddChanges(CLI::App& models, Command& run) {
  // One each: the environment fills the options of all, whichever is called.
  auto options = std::make_shared<ModelsOptions>();
  CLI::App* command = AddChange(models, run, "activate",
                                "Let a version serve its name; it is loaded and checked first",
                                options, [](const ModelClient& client, const ModelsOptions& given) {
                                  return client.ActivateModel(given.model, given.expected);
                                });
  AddVersion(*command, *options, "version that shall serve");
  AddExpected(*command, *options);

  options = std::make_shared<ModelsOptions>();
  command = AddChange(models, run, "rollback",
                      "Let the version serve again that served before the present one", options,
                      [](const ModelClient& client, const ModelsOptions& given) {
                        return client.RollbackModel(given.model, given.expected);
                      });
  command->add_option("name", options->model, "model, without version")->required();
  AddExpected(*command, *options);

  options = std::make_shared<ModelsOptions>();
  command = AddChange(models, run, "load",
                      "Bring a version into memory without letting it serve its name", options,
                      [](const ModelClient& client, const ModelsOptions& given) {
                        return client.LoadModel(given.model);
                      });
  AddVersion(*command, *options, "version to load");

  options = std::make_shared<ModelsOptions>();
  command = AddChange(models, run, "unload", "Take a version out of memory", options,
                      [](const ModelClient& client, const ModelsOptions& given) {
                        return client.UnloadModel(given.model);
                      });
  AddVersion(*command, *options, "version to unload");

  options = std::make_shared<ModelsOptions>();
  command = AddChange(models, run, "delete",
                      "Remove a version that is not in memory from the server's store, for good",
                      options, [](const ModelClient& client, const ModelsOptions& given) {
                        return client.DeleteModel(given.model);
                      });
  AddVersion(*command, *options, "version to remove");
}

}  // namespace

void AddModelsCommand(CLI::App& app, Command& run) {
  // One each: the environment fills the options of both, whichever is called.
  const auto list_options = std::make_shared<ModelsOptions>();
  const auto show_options = std::make_shared<ModelsOptions>();
  CLI::App* const command = app.add_subcommand(
      "models", "List the model versions of a server, show one, and say which serve");
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
  AddChanges(*command, run);
}

}  // namespace proad::client
