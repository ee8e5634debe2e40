#include "client/cli/watch.h"

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

JobView::Style StyleOf(const FollowOptions& options) {
  if (options.json) return JobView::Style::kJson;
  return OutputIsTerminal() ? JobView::Style::kBar : JobView::Style::kLines;
}

// The result's card, for its thresholds. Without it the result is shown all the same.
std::optional<proad::v1::ModelCard> CardOf(const std::shared_ptr<grpc::Channel>& channel,
                                           const proad::v1::TrainJob& job,
                                           const FollowOptions& options) {
  if (!job.has_result_version()) return std::nullopt;
  const auto& version = job.result_version();
  const auto card = ModelClient(channel, {.deadline = options.deadline})
                        .GetModel(absl::StrCat(version.name(), "@", version.version()));
  if (card.ok()) return *card;
  std::cerr << "proad: the thresholds could not be had: " << Describe(card.status()) << "\n";
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

void JobView::Say(const std::string& text) {
  line_.Clear();
  std::cerr << text << "\n";
}

int FollowJob(const std::shared_ptr<grpc::Channel>& channel, const std::string& job_id,
              const FollowOptions& options) {
  JobView view(StyleOf(options));
  bool away = false;
  absl::StatusOr<proad::v1::TrainJob> ended;
  {
    const Interrupt interrupt;
    WatchOptions watch = {.stop = interrupt.token(), .patience = options.patience};
    watch.on_interruption = [&](const absl::Status& status) {
      if (!away) view.Say(absl::StrCat("proad: ", Describe(status), "; trying to come back"));
      away = true;
    };
    ended = TrainingClient(channel).Watch(
        job_id,
        [&](const proad::v1::TrainJob& job) {
          away = false;
          view.Update(job, absl::Now());
        },
        watch);
    view.Close();
    if (!ended.ok() && interrupt.requested()) {
      std::cerr << "proad: you left, the job goes on. Watch it: proad jobs watch " << job_id
                << "   End it: proad jobs cancel " << job_id << "\n";
      return kInterrupted;
    }
  }
  if (!ended.ok()) return Fail(ended.status());
  if (!options.json) {
    std::cout << JobResult(*ended, CardOf(channel, *ended, options), WantsColour());
  } else if (const std::string refusal = Refusal(*ended); !refusal.empty()) {
    std::cerr << "proad: " << refusal << "\n";
  }
  return ExitCodeOf(*ended);
}

}  // namespace proad::client
