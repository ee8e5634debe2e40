// proad models: which model versions a server has.
#include <google/protobuf/util/json_util.h>

#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/exit_code.h"
#include "client/cli/table.h"
#include "client/model_client.h"

namespace proad::client {
namespace {

struct ModelsOptions {
  ServerOptions server;
  std::string model;
  bool json = false;
};

std::string ToJson(const google::protobuf::Message& message, bool lines) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.add_whitespace = lines;
  // Machines should find every field on every line.
  options.always_print_primitive_fields = !lines;
  std::string json;
  // Fails only for an Any of unknown type, which these messages do not hold.
  (void)google::protobuf::util::MessageToJsonString(message, &json, options);
  return json;
}

std::string Name(const proad::v1::ModelVersion& version) {
  return absl::StrCat(version.name(), "@", version.version());
}

std::string Created(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0) return "-";
  return absl::FormatTime("%Y-%m-%d %H:%M", absl::FromUnixSeconds(time.seconds()),
                          absl::UTCTimeZone());
}

std::string State(proad::v1::ModelState state) {
  return std::string(absl::StripPrefix(proad::v1::ModelState_Name(state), "MODEL_STATE_"));
}

void PrintList(const std::vector<proad::v1::ModelSummary>& models) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& model : models) {
    rows.push_back(
        {Printable(Name(model.model_version())),
         absl::StrCat(State(model.state()), model.default_model() ? ", default" : ""),
         model.preset().empty() ? "-" : Printable(model.preset()), Created(model.create_time()),
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
  for (const auto& model : *models) std::cout << ToJson(model, false) << "\n";
  return kOk;
}

int RunShow(const ModelsOptions& options) {
  const auto channel = Open(options.server);
  if (!channel.ok()) return Fail(channel.status());
  const auto card =
      ModelClient(*channel, {.deadline = options.server.deadline}).GetModel(options.model);
  if (!card.ok()) return Fail(card.status());
  if (options.json) {
    std::cout << ToJson(*card, false) << "\n";
    return kOk;
  }
  std::cout << Name(card->model_version()) << "  " << State(card->state())
            << (card->default_model() ? ", default" : "") << "\n"
            << ToJson(*card, true);
  return kOk;
}

void AddOptions(CLI::App& command, ModelsOptions& options) {
  AddServerOptions(command, options.server);
  command.add_flag("--json", options.json, "one JSON object a line");
}

}  // namespace

void AddModelsCommand(CLI::App& app, Command& run) {
  // One each: the environment fills the options of both, whichever is called.
  const auto list_options = std::make_shared<ModelsOptions>();
  const auto show_options = std::make_shared<ModelsOptions>();
  CLI::App* const command =
      app.add_subcommand("models", "List the model versions of a server, or show one");
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
}

}  // namespace proad::client
