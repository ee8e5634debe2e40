// proad train: creates a training job on a server.
#include <iostream>
#include <memory>

#include "absl/strings/match.h"
#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/job_report.h"
#include "client/cli/job_text.h"
#include "client/cli/job_watch.h"
#include "client/cli/json.h"
#include "client/cli/table.h"
#include "client/cli/train_options.h"
#include "client/cli/upload.h"
#include "client/error.h"
#include "client/training_client.h"

namespace proad::client {
namespace {

// Prints the error. When the server rejected the dataset's path, also prints the path as sent and how
// to upload the folder. Returns the exit code.
int FailCreation(const absl::Status& status, const proad::v1::TrainJobSpec& spec) {
  const int code = Fail(status);
  const bool of_path = absl::StrContains(Describe(status), "dataset_path") ||
                       absl::StrContains(status.message(), spec.dataset_path());
  if (of_path && spec.has_dataset_path()) {
    std::cerr << "proad: the path was sent as " << Printable(spec.dataset_path())
              << " and must exist on the server. Give a path below the server's data root, or "
                 "upload the folder with --upload\n";
  }
  return code;
}

void PrintCreated(const proad::v1::TrainJob& job) {
  std::cout << "job " << Printable(job.job_id()) << ": " << Printable(job.spec().model_name())
            << " from " << DatasetName(job.spec()) << ", " << Printable(job.spec().preset())
            << ", recipe " << Printable(job.spec().recipe()) << std::endl;
}

int ShowCreated(const TrainOptions& options, const proad::v1::TrainJob& job) {
  if (options.json) {
    std::cout << ToJson(job);
  } else if (options.request.validate_only()) {
    std::cout << "the job is valid:\n" << JobDetails(job);
  } else {
    PrintCreated(job);
    std::cout << "To watch it: proad jobs watch " << Printable(job.job_id())
              << "   To cancel it: proad jobs cancel " << Printable(job.job_id()) << "\n";
  }
  return kOk;
}

int RunTrain(TrainOptions& options) {
  if (const std::string problem = CheckTrainOptions(options); !problem.empty()) {
    std::cerr << "proad train: " << problem << "\n";
    return kUsage;
  }
  const auto channel = Open(options.server);
  if (!channel.ok()) return Fail(channel.status());
  proad::v1::TrainJobSpec& spec = *options.request.mutable_spec();
  spec.set_model_name(ModelNameOf(options));
  if (options.upload) {
    const auto uploaded = Upload(*channel, {.folder = options.dataset,
                                            .dataset_id = options.dataset_id,
                                            .quiet = options.json,
                                            .deadline = options.server.deadline});
    if (!uploaded.ok()) return FailUpload(uploaded.status());
    spec.set_dataset_id(uploaded->dataset_id());
  } else if (!options.dataset_id.empty()) {
    spec.set_dataset_id(options.dataset_id);
  } else {
    spec.set_dataset_path(PathForServer(options.dataset));
  }
  const auto job = TrainingClient(*channel, {.deadline = options.server.deadline})
                       .CreateTrainJob(options.request);
  if (!job.ok()) return FailCreation(job.status(), spec);
  if (!options.watch) return ShowCreated(options, *job);
  if (!options.json) PrintCreated(*job);
  return WatchJob(
      *channel, job->job_id(),
      {.json = options.json, .patience = options.patience, .deadline = options.server.deadline});
}

}  // namespace

void AddTrainCommand(CLI::App& app, Command& run) {
  const auto options = std::make_shared<TrainOptions>();
  CLI::App* const command =
      app.add_subcommand("train", "Train a model on a dataset, as a job of the server");
  command->footer(
      "Options that are not given have the default of the recipe or of the server.\n"
      "Exit codes: 0 created; with --watch: succeeded (also when the version failed its gate), "
      "1 refused, failed or cancelled, 2 invalid usage, 3 no server, 130 interrupted with Ctrl-C; "
      "the job continues.\n");
  AddTrainOptions(*command, *options);
  command->callback([options, &run] { run = [options] { return RunTrain(*options); }; });
}

}  // namespace proad::client
