// proad jobs: lists, shows, watches, cancels and resumes the training jobs of a server.
#include <iostream>
#include <memory>

#include "absl/strings/ascii.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/exit_code.h"
#include "client/cli/job_report.h"
#include "client/cli/job_text.h"
#include "client/cli/job_watch.h"
#include "client/cli/json.h"
#include "client/cli/options.h"
#include "client/cli/table.h"
#include "client/cli/terminal.h"
#include "client/training_client.h"

namespace proad::client {
namespace {

struct JobsOptions {
  ServerOptions server;
  JobFilter filter;
  std::string job;
  absl::Duration patience = JobWatchOptions().patience;
  bool watch = false;
  bool json = false;
};

JobWatchOptions WatchOptionsOf(const JobsOptions& options) {
  return {.json = options.json, .patience = options.patience, .deadline = options.server.deadline};
}

int RunList(const JobsOptions& options) {
  const auto channel = Open(options.server);
  if (!channel.ok()) return Fail(channel.status());
  const auto jobs =
      TrainingClient(*channel, {.deadline = options.server.deadline}).ListTrainJobs(options.filter);
  if (!jobs.ok()) return Fail(jobs.status());
  if (options.json) {
    for (const auto& job : *jobs) std::cout << ToJson(job);
    return kOk;
  }
  std::cout << JobTable(*jobs);
  if (jobs->empty()) std::cout << "no jobs; create one with 'proad train DATASET'\n";
  return kOk;
}

int RunShow(const JobsOptions& options) {
  const auto channel = Open(options.server);
  if (!channel.ok()) return Fail(channel.status());
  const CallOptions call = {.deadline = options.server.deadline};
  const auto job = TrainingClient(*channel, call).GetTrainJob(options.job);
  if (!job.ok()) return Fail(job.status());
  if (options.json) {
    std::cout << ToJson(*job);
    return kOk;
  }
  std::cout << JobDetails(*job);
  if (HasEnded(job->state())) {
    // A version that was deleted has no card.
    const auto card = ResultCard(*channel, *job, call);
    std::cout << "\n"
              << JobResult(*job, card.ok() ? std::optional(*card) : std::nullopt, WantsColour());
  }
  return kOk;
}

int RunWatch(const JobsOptions& options) {
  const auto channel = Open(options.server);
  if (!channel.ok()) return Fail(channel.status());
  return WatchJob(*channel, options.job, WatchOptionsOf(options));
}

int RunCancel(const JobsOptions& options) {
  const auto channel = Open(options.server);
  if (!channel.ok()) return Fail(channel.status());
  const auto job =
      TrainingClient(*channel, {.deadline = options.server.deadline}).CancelTrainJob(options.job);
  if (!job.ok()) return Fail(job.status());
  if (options.json) {
    std::cout << ToJson(*job);
    return kOk;
  }
  std::cout << "job " << Printable(job->job_id()) << " is "
            << absl::AsciiStrToLower(StateName(job->state()))
            << ". To continue from its last checkpoint: proad jobs resume "
            << Printable(job->job_id()) << "\n";
  return kOk;
}

int RunResume(const JobsOptions& options) {
  const auto channel = Open(options.server);
  if (!channel.ok()) return Fail(channel.status());
  const auto job =
      TrainingClient(*channel, {.deadline = options.server.deadline}).ResumeTrainJob(options.job);
  if (!job.ok()) return Fail(job.status());
  if (options.watch) return WatchJob(*channel, job->job_id(), WatchOptionsOf(options));
  if (options.json) {
    std::cout << ToJson(*job);
    return kOk;
  }
  std::cout << "job " << Printable(job->job_id()) << " is "
            << absl::AsciiStrToLower(StateName(job->state())) << ". To watch it: proad jobs watch "
            << Printable(job->job_id()) << "\n";
  return kOk;
}

// Adds a subcommand with its own options object: the parser fills options from the environment for
// all subcommands, not only for the called one.
std::pair<CLI::App*, std::shared_ptr<JobsOptions>> Add(CLI::App& jobs, const std::string& word,
                                                       const std::string& description,
                                                       int (*act)(const JobsOptions&),
                                                       Command& run) {
  const auto options = std::make_shared<JobsOptions>();
  CLI::App* const command = jobs.add_subcommand(word, description);
  AddServerOptions(*command, options->server);
  command->callback([options, act, &run] { run = [options, act] { return act(*options); }; });
  return {command, options};
}

void AddJobOption(CLI::App& command, JobsOptions& options) {
  command.add_option("job", options.job, "id of the job, as in 'proad jobs list'")
      ->required()
      ->type_name("ID");
}

void AddJson(CLI::App& command, JobsOptions& options, const std::string& description) {
  command.add_flag("--json", options.json, description);
}

void AddListCommand(CLI::App& jobs, Command& run) {
  const auto [command, options] = Add(jobs, "list", "List jobs, the newest first", RunList, run);
  AddChoices<proad::v1::TrainJobState>(
      *command, "--state",
      {{"queued", proad::v1::TRAIN_JOB_STATE_QUEUED},
       {"running", proad::v1::TRAIN_JOB_STATE_RUNNING},
       {"succeeded", proad::v1::TRAIN_JOB_STATE_SUCCEEDED},
       {"failed", proad::v1::TRAIN_JOB_STATE_FAILED},
       {"cancelled", proad::v1::TRAIN_JOB_STATE_CANCELLED}},
      [to = options](proad::v1::TrainJobState state) { to->filter.states.push_back(state); },
      "only jobs in this state: queued, running, succeeded, failed or cancelled; repeatable");
  command->add_option("--model", options->filter.model_name, "only jobs for this model name");
  AddJson(*command, *options, "print one JSON object per job");
}

}  // namespace

void AddJobsCommand(CLI::App& app, Command& run) {
  CLI::App* const jobs =
      app.add_subcommand("jobs", "List, show, watch, cancel or resume training jobs");
  AddListCommand(*jobs, run);
  for (const auto& [word, description, act] :
       {std::tuple("show", "Show a job's parameters, progress and result", &RunShow),
        std::tuple("watch", "Report a job's progress until it ends", &RunWatch),
        std::tuple("cancel", "End a job; it can be resumed", &RunCancel),
        std::tuple("resume", "Continue a failed or cancelled job", &RunResume)}) {
    const auto [command, options] = Add(*jobs, word, description, act, run);
    AddJobOption(*command, *options);
    const bool watches = act == &RunWatch || act == &RunResume;
    AddJson(*command, *options,
            watches ? "print one JSON object per report" : "print one JSON object");
    if (act == &RunResume) {
      command->add_flag("--watch", options->watch, "report its progress until it ends");
    }
    if (watches) {
      command->footer(
          "Exit codes: 0 success, 1 the job failed or was cancelled, 2 invalid usage, 3 no server, "
          "130 interrupted with Ctrl-C; the job continues.\n");
    }
    if (watches) AddPatience(*command, options->patience);
  }
}

}  // namespace proad::client
