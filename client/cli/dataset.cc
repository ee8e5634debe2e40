// proad dataset: checks a dataset, or uploads one to a server.
#include <iostream>
#include <memory>

#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/exit_code.h"
#include "client/cli/json.h"
#include "client/cli/table.h"
#include "client/cli/trainer_command.h"
#include "client/cli/upload.h"

namespace proad::client {
namespace {

struct UploadCommandOptions {
  ServerOptions server;
  std::string folder;
  std::string dataset_id;
  bool json = false;
};

int RunUpload(const UploadCommandOptions& options) {
  const auto channel = Open(options.server);
  if (!channel.ok()) return Fail(channel.status());
  const auto uploaded = Upload(*channel, {.folder = options.folder,
                                          .dataset_id = options.dataset_id,
                                          .quiet = options.json,
                                          .deadline = options.server.deadline});
  if (!uploaded.ok()) return FailUpload(uploaded.status());
  if (options.json) {
    std::cout << ToJson(*uploaded);
  } else {
    std::cout << "To train on it: proad train --dataset-id " << Printable(uploaded->dataset_id())
              << "\n";
  }
  return kOk;
}

}  // namespace

void AddDatasetCommand(CLI::App& app, Command& run) {
  CLI::App* const dataset =
      app.add_subcommand("dataset", "Check a dataset, or upload one to a server");
  ForwardToTrainer(
      *dataset->add_subcommand(
          "check",
          "Decode a dataset's images and masks; report its layout, counts and problems "
          "(runs proad-trainer on this machine)"),
      {"dataset", "check"}, run);
  const auto options = std::make_shared<UploadCommandOptions>();
  CLI::App* const upload = dataset->add_subcommand(
      "upload", "Upload the images and lists of a folder; continues an unfinished upload");
  upload->footer(
      "Exit codes: 0 success, 1 failed, 2 invalid usage, 3 no server, 130 interrupted.\n");
  upload->add_option("folder", options->folder, "folder to upload")->required()->type_name("PATH");
  upload->add_option("--id", options->dataset_id,
                     "id on the server (default: the folder's name and a digest of its content)");
  AddServerOptions(*upload, options->server);
  upload->add_flag("--json", options->json, "print one JSON object");
  upload->callback([options, &run] { run = [options] { return RunUpload(*options); }; });
}

}  // namespace proad::client
