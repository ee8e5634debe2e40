#include "client/cli/job_watch.h"

#include <iostream>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/connection.h"
#include "client/cli/exit_code.h"
#include "client/cli/interrupt.h"
#include "client/cli/job_report.h"
#include "client/cli/job_text.h"
#include "client/cli/json.h"
#include "client/cli/table.h"
#include "client/error.h"
#include "client/model_client.h"
#include "client/training_client.h"

namespace proad::client {
namespace {

constexpr absl::Duration kBetweenLines = absl::Seconds(5);

JobView::Style StyleOf(const JobWatchOptions& options) {
  if (options.json) return JobView::Style::kJson;
  return OutputIsTerminal() ? JobView::Style::kBar : JobView::Style::kLines;
}

// Returns the card of the job's version, for its thresholds. Prints an error and returns nullopt when
// the call fails: the rest of the result is printed anyway.
std::optional<proad::v1::ModelCard> CardOrWarning(const std::shared_ptr<grpc::Channel>& channel,
                                                  const proad::v1::TrainJob& job,
                                                  const JobWatchOptions& options) {
  if (!job.has_result_version()) return std::nullopt;
  const auto card = ResultCard(channel, job, {.deadline = options.deadline});
  if (card.ok()) return *card;
  std::cerr << "proad: cannot read the thresholds: " << Describe(card.status()) << "\n";
  return std::nullopt;
}

int ExitCodeOf(const proad::v1::TrainJob& job) {
  return job.state() == proad::v1::TRAIN_JOB_STATE_SUCCEEDED ? kOk : kSomeFailed;
}

}  // namespace

void JobView::Update(const proad::v1::TrainJob& job, absl::Time now) {
  if (style_ == Style::kJson) {
    std::cout << ToJson(job) << std::flush;
    return;
  }
  if (HasEnded(job.state())) return;
  if (style_ == Style::kBar) {
    line_.Draw(ProgressBar(job, TerminalWidth()));
    return;
  }
  const std::string activity = Activity(job);
  if (activity == activity_ && now - printed_ < kBetweenLines) return;
  activity_ = activity;
  printed_ = now;
  std::cout << ProgressText(job) << std::endl;
}

void JobView::PrintMessage(const std::string& text) {
  line_.Clear();
  std::cerr << text << "\n";
}

absl::StatusOr<proad::v1::ModelCard> ResultCard(const std::shared_ptr<grpc::Channel>& channel,
                                                const proad::v1::TrainJob& job,
                                                const CallOptions& call) {
  if (!job.has_result_version()) return absl::NotFoundError("the job has published no version");
  const proad::v1::ModelVersion& version = job.result_version();
  return ModelClient(channel, call).GetModel(absl::StrCat(version.name(), "@", version.version()));
}

int WatchJob(const std::shared_ptr<grpc::Channel>& channel, const std::string& job_id,
             const JobWatchOptions& options) {
  JobView view(StyleOf(options));
  bool interrupted = false;
  absl::StatusOr<proad::v1::TrainJob> ended;
  {
    const Interrupt interrupt;
    WatchOptions watch = {.stop = interrupt.token(), .patience = options.patience};
    watch.on_interruption = [&](const absl::Status& status) {
      if (!interrupted) {
        view.PrintMessage(absl::StrCat("proad: ", Describe(status), "; reconnecting"));
      }
      interrupted = true;
    };
    ended = TrainingClient(channel).Watch(
        job_id,
        [&](const proad::v1::TrainJob& job) {
          interrupted = false;
          view.Update(job, absl::Now());
        },
        watch);
    view.Close();
    if (!ended.ok() && interrupt.requested()) {
      std::cerr << "proad: interrupted; the job continues. To watch it: proad jobs watch " << job_id
                << "   To cancel it: proad jobs cancel " << job_id << "\n";
      return kInterrupted;
    }
  }
  if (!ended.ok()) return Fail(ended.status());
  if (!options.json) {
    std::cout << JobResult(*ended, CardOrWarning(channel, *ended, options), WantsColour());
  } else if (const std::string refusal = Refusal(*ended); !refusal.empty()) {
    std::cerr << "proad: " << refusal << "\n";
  }
  return ExitCodeOf(*ended);
}

}  // namespace proad::client
