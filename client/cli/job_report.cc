#include "client/cli/job_report.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/job_text.h"
#include "client/cli/table.h"
#include "client/cli/terminal.h"

namespace proad::client {
namespace {

using Metrics = google::protobuf::RepeatedPtrField<proad::v1::Metric>;
using Rows = std::vector<std::vector<std::string>>;

constexpr int kMaxSkippedShown = 10;

// The metric that the table of jobs shows.
std::string ImageAuroc(const proad::v1::TrainJob& job) {
  for (const proad::v1::Metric& metric : job.evaluation().metrics()) {
    if (metric.name() == "image_auroc" && metric.category().empty()) {
      return absl::StrFormat("%.4f", metric.value());
    }
  }
  return "-";
}

std::string Percent(const proad::v1::TrainProgress& progress) {
  if (progress.steps() == 0) return "-";
  return absl::StrCat(100 * progress.step() / progress.steps(), "%");
}

std::string Result(const proad::v1::TrainJob& job) {
  if (!job.reason().empty()) {
    return absl::StrCat(job.reason_code(), job.reason_code().empty() ? "" : ": ", job.reason());
  }
  if (!job.has_result_version()) return Activity(job);
  const bool refused = !Refusal(job).empty();
  return absl::StrCat(VersionName(job.result_version()), refused ? ", not activated" : "");
}

std::string Labels(const proad::v1::TrainJob& job) {
  std::map<std::string, std::string> sorted(job.spec().labels().begin(), job.spec().labels().end());
  return absl::StrJoin(sorted, ", ", absl::PairFormatter("="));
}

const proad::v1::Metric* Find(const Metrics& metrics, const std::string& name,
                              const std::string& category) {
  for (const proad::v1::Metric& metric : metrics) {
    if (metric.name() == name && metric.category() == category) return &metric;
  }
  return nullptr;
}

// One row of metrics for `category`, with the first cell `title`.
std::vector<std::string> MetricRow(const Metrics& metrics, const std::vector<std::string>& names,
                                   const std::string& category, const std::string& title) {
  std::vector<std::string> row = {Printable(title), "-"};
  uint64_t images = 0;
  for (const std::string& name : names) {
    const proad::v1::Metric* const metric = Find(metrics, name, category);
    row.push_back(metric ? absl::StrFormat("%.4f", metric->value()) : "-");
    if (metric) images = std::max(images, metric->images());
  }
  if (images > 0) row[1] = absl::StrCat(images);
  return row;
}

std::string MetricTable(const proad::v1::TrainJob& job) {
  const Metrics& metrics = job.evaluation().metrics();
  std::vector<std::string> names, categories;
  for (const proad::v1::Metric& metric : metrics) {
    const auto add = [](std::vector<std::string>& to, const std::string& text) {
      if (std::find(to.begin(), to.end(), text) == to.end()) to.push_back(text);
    };
    add(names, metric.name());
    if (!metric.category().empty()) add(categories, metric.category());
  }
  if (names.empty()) return "";
  std::vector<Column> columns = {{"category"}, {"images", 0, true}};
  for (const std::string& name : names) columns.push_back({Printable(name), 0, true});
  Rows rows;
  for (const std::string& category : categories) {
    rows.push_back(MetricRow(metrics, names, category, category));
  }
  rows.push_back(MetricRow(metrics, names, "", "mean"));
  if (const proad::v1::GateResult& gate = job.gate_result(); gate.has_compared_with()) {
    rows.push_back(MetricRow(gate.compared_metrics(), names, "",
                             absl::StrCat("mean of ", VersionName(gate.compared_with()))));
  }
  return "\n" + Format(std::move(columns), rows);
}

std::string ThresholdTable(const proad::v1::ModelCard& card) {
  if (card.calibrations().empty()) return "\nno thresholds: verdicts are UNDECIDED\n";
  Rows rows;
  for (const proad::v1::Calibration& calibration : card.calibrations()) {
    rows.push_back(
        {calibration.category().empty() ? "(all others)" : Printable(calibration.category()),
         absl::StrFormat("%.4f", calibration.threshold()),
         absl::StrCat(calibration.rejected(), " of ", calibration.images()),
         absl::StrFormat("%g%%", 100 * calibration.false_reject_budget())});
  }
  return "\n" + Format({{"category"},
                        {"threshold", 0, true},
                        {"good parts rejected", 0, true},
                        {"budget", 0, true}},
                       rows);
}

std::string GateText(const proad::v1::TrainJob& job, bool active, bool colour) {
  const std::string version = VersionName(job.result_version());
  if (active) return "\n" + Green(absl::StrCat(version, " is active"), colour) + "\n";
  if (!job.has_gate_result()) {
    return absl::StrCat("\n", version, " is not active. To activate it: proad models activate ",
                        version, "\n");
  }
  if (job.gate_result().activated()) {
    return absl::StrCat("\n", version, " was activated\n");
  }
  return absl::StrCat(
      "\n", Red(Refusal(job), colour),
      "\nThe version is published, but not active. To activate it anyway: proad models "
      "activate ",
      version, "\n");
}

std::string SkippedText(const proad::v1::TrainJob& job) {
  if (job.skipped_images() == 0) return "";
  std::string text = absl::StrCat("\nskipped ", job.skipped_images(), " unreadable images:\n");
  const int shown = std::min(job.skipped_paths_size(), kMaxSkippedShown);
  for (int i = 0; i < shown; ++i) {
    absl::StrAppend(&text, "  ", Printable(job.skipped_paths(i)), "\n");
  }
  const uint64_t more = job.skipped_images() - static_cast<uint64_t>(shown);
  if (more > 0) absl::StrAppend(&text, "  ... and ", more, " more\n");
  return text;
}

std::string WarningsText(const proad::v1::TrainJob& job) {
  std::string text;
  for (const std::string& warning : job.warnings())
    absl::StrAppend(&text, "\nwarning: ", Printable(warning), "\n");
  return text;
}

std::string RunTime(const proad::v1::TrainJob& job) {
  if (!job.progress().has_elapsed()) return "";
  return absl::StrCat(" after ", ShortDuration(FromProto(job.progress().elapsed())));
}

}  // namespace

std::string JobTable(const std::vector<proad::v1::TrainJob>& jobs) {
  Rows rows;
  for (const proad::v1::TrainJob& job : jobs) {
    rows.push_back({Printable(job.job_id()), StateName(job.state()),
                    Printable(job.spec().model_name()), DatasetName(job.spec()),
                    Percent(job.progress()), ImageAuroc(job), UtcMinute(job.create_time()),
                    Printable(Labels(job)), Printable(Result(job))});
  }
  return Format({{"job"},
                 {"state"},
                 {"model"},
                 {"dataset"},
                 {"done", 0, true},
                 {"image_auroc", 0, true},
                 {"created (UTC)"},
                 {"labels"},
                 {"result"}},
                rows);
}

std::string JobDetails(const proad::v1::TrainJob& job) {
  const proad::v1::TrainJobSpec& spec = job.spec();
  Rows rows;
  const auto add = [&](const std::string& name, const std::string& value) {
    if (!value.empty() && value != "-") rows.push_back({name, Printable(value)});
  };
  add("job", job.job_id());
  if (job.state() != proad::v1::TRAIN_JOB_STATE_UNSPECIFIED) add("state", StateName(job.state()));
  add("model", spec.model_name());
  add("dataset", DatasetName(spec));
  add("categories", absl::StrJoin(spec.categories(), ", "));
  add("preset", spec.preset());
  add("recipe", spec.recipe());
  add("overrides", spec.overrides().ShortDebugString());
  add("init from", spec.init_from());
  add("encoder", spec.encoder());
  add("device", job.progress().device().empty() ? spec.device() : job.progress().device());
  add("labels", Labels(job));
  add("created (UTC)", UtcMinute(job.create_time()));
  add("started (UTC)", UtcMinute(job.start_time()));
  add("ended (UTC)", UtcMinute(job.end_time()));
  if (job.attempts() > 1) add("attempts", absl::StrCat(job.attempts()));
  if (job.state() == proad::v1::TRAIN_JOB_STATE_QUEUED ||
      job.state() == proad::v1::TRAIN_JOB_STATE_RUNNING) {
    add("progress", ProgressText(job));
  }
  std::string text;
  size_t width = 0;
  for (const auto& row : rows) width = std::max(width, row[0].size());
  const Table table({{"", width}, {}});
  for (const auto& row : rows) absl::StrAppend(&text, table.Row(row), "\n");
  return text;
}

std::string JobResult(const proad::v1::TrainJob& job,
                      const std::optional<proad::v1::ModelCard>& card, bool colour) {
  if (job.state() != proad::v1::TRAIN_JOB_STATE_SUCCEEDED) {
    const std::string code =
        job.reason_code().empty() ? "" : absl::StrCat(" (", job.reason_code(), ")");
    const bool cancelled = job.state() == proad::v1::TRAIN_JOB_STATE_CANCELLED;
    return absl::StrCat(
        Red(Printable(absl::StrCat(StateName(job.state()), code, RunTime(job), ": ",
                                   job.reason().empty() ? "no reason given" : job.reason())),
            colour && !cancelled),
        "\n", SkippedText(job), "To continue from its last checkpoint: proad jobs resume ",
        Printable(job.job_id()), "\n");
  }
  std::string text = absl::StrCat(
      Green(absl::StrCat("SUCCEEDED", RunTime(job), ": ", VersionName(job.result_version())),
            colour),
      "\n");
  const std::string metrics = MetricTable(job);
  text += metrics.empty() ? "\nno metrics: the dataset has no test split\n" : metrics;
  if (card) text += ThresholdTable(*card);
  const bool active = card && card->state() == proad::v1::MODEL_STATE_ACTIVE;
  return text + SkippedText(job) + WarningsText(job) +
         GateText(job, active && Refusal(job).empty(), colour);
}

std::string Refusal(const proad::v1::TrainJob& job) {
  const proad::v1::GateResult& gate = job.gate_result();
  if (!job.has_gate_result() || gate.activated()) return "";
  return Printable(absl::StrCat(
      "NOT ACTIVATED: ", VersionName(job.result_version()),
      gate.passed() ? " passed the gate, but: " : " failed the gate: ", gate.reason()));
}

}  // namespace proad::client
