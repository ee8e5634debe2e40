// proad calibrate: chooses the thresholds of a version from images of good parts.
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/exit_code.h"
#include "client/cli/job_text.h"
#include "client/cli/json.h"
#include "client/cli/table.h"
#include "client/cli/train_options.h"
#include "client/cli/upload.h"
#include "client/model_client.h"

namespace proad::client {
namespace {

// The server inspects the images one after the other, with lower priority than Detect.
constexpr absl::Duration kCalibrationDeadline = absl::Hours(1);

struct CalibrateOptions {
  ServerOptions server;
  proad::v1::CalibrateRequest request;
  std::string dataset;
  std::string dataset_id;
  bool upload = false;
  std::vector<std::string> categories;
  double budget = 0.01;
  bool json = false;
};

void Print(const proad::v1::CalibrateResponse& response) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& entry : response.calibrations()) {
    rows.push_back({Printable(entry.category()), absl::StrFormat("%.4f", entry.threshold()),
                    absl::StrCat(entry.rejected(), " of ", entry.images()),
                    absl::StrFormat("%g%%", 100 * entry.false_reject_budget())});
  }
  std::cout << Format({{"category"},
                       {"threshold", 0, /*right=*/true},
                       {"good parts rejected", 0, /*right=*/true},
                       {"budget", 0, /*right=*/true}},
                      rows)
            << "\n"
            << VersionName(response.model_version())
            << (response.applied() ? " uses these thresholds from now on\n"
                                   : " keeps its thresholds: nothing was changed\n");
}

int RunCalibrate(CalibrateOptions options) {
  if (options.dataset.empty() == (options.dataset_id.empty() || options.upload)) {
    std::cerr
        << "proad calibrate: give either a folder or the --dataset-id of an uploaded dataset\n";
    return kUsage;
  }
  const auto channel = Open(options.server);
  if (!channel.ok()) return Fail(channel.status());
  proad::v1::CalibrateRequest& request = options.request;
  if (options.upload) {
    const auto uploaded = Upload(
        *channel,
        {.folder = options.dataset, .dataset_id = options.dataset_id, .quiet = options.json});
    if (!uploaded.ok()) return FailUpload(uploaded.status());
    request.set_dataset_id(uploaded->dataset_id());
  } else if (!options.dataset_id.empty()) {
    request.set_dataset_id(options.dataset_id);
  } else {
    request.set_dataset_path(PathForServer(options.dataset));
  }
  request.mutable_categories()->Assign(options.categories.begin(), options.categories.end());
  request.set_false_reject_budget(options.budget);
  const auto response =
      ModelClient(*channel, {.deadline = options.server.deadline}).Calibrate(request);
  if (!response.ok()) return Fail(response.status());
  if (options.json) {
    std::cout << ToJson(*response);
  } else {
    Print(*response);
  }
  return kOk;
}

}  // namespace

void AddCalibrateCommand(CLI::App& app, Command& run) {
  const auto options = std::make_shared<CalibrateOptions>();
  options->server.deadline = kCalibrationDeadline;
  CLI::App* const command =
      app.add_subcommand("calibrate", "Choose a version's thresholds from images of good parts");
  command->footer(
      "Use images on which the version was not trained: training images lead to thresholds that\n"
      "are too low. Images that the dataset labels as defective are not used. The new thresholds\n"
      "apply at once and are stored.\n"
      "Exit codes: 0 success, 1 failed, 2 invalid usage, 3 no server.\n");
  command->add_option("dataset", options->dataset,
                      "folder with images of good parts, below the server's data root");
  command->add_option("--dataset-id", options->dataset_id,
                      "id of an uploaded dataset; with --upload: the id to upload it under");
  command->add_flag("--upload", options->upload, "upload the folder first");
  command
      ->add_option_function<std::string>(
          "--model", [options](const std::string& model) { options->request.set_model(model); },
          "name or name@version (default: the server's default model)")
      ->type_name("NAME[@VERSION]");
  command->add_option("--category", options->categories,
                      "product classes to calibrate (default: all in the dataset)");
  command
      ->add_option("--false-reject-budget", options->budget,
                   "share of good parts that the thresholds may reject")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_flag_callback(
      "--dry-run", [options] { options->request.set_validate_only(true); },
      "print the thresholds without applying them");
  AddServerOptions(*command, options->server);
  command->add_flag("--json", options->json, "print one JSON object");
  command->callback([options, &run] { run = [options] { return RunCalibrate(*options); }; });
}

}  // namespace proad::client
