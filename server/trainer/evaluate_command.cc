#include "server/trainer/evaluate_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "model/dataset/dataset.h"
#include "model/files/atomic_file.h"
#include "model/network/device.h"
#include "model/spec/evaluation.h"
#include "model/spec/manifest.h"
#include "model/training/evaluator.h"
#include "server/serving/model_store.h"
#include "server/trainer/dataset_command.h"
#include "server/trainer/evaluation_page.h"
#include "server/trainer/image_options.h"
#include "server/trainer/label_table.h"
#include "server/trainer/text_table.h"
#include "server/util/quote.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct EvaluateOptions {
  std::string first;   // MODEL[@VERSION], or DATASET with --version-dir
  std::string second;  // DATASET, or "" with --version-dir
  std::string store;
  std::string version_dir;
  std::string device = "auto";
  model::DatasetOptions dataset;
  model::EvaluatorOptions evaluator;
  bool json = false;
  std::string report;  // HTML file; "": none
};

// An evaluated version, the dataset and the result.
struct Result {
  model::Manifest manifest;
  model::Dataset dataset;
  model::Evaluation evaluation;
  std::vector<std::string> skipped;
};

// The directory of MODEL[@VERSION] in a store; of the active version when none is named.
absl::StatusOr<fs::path> FindVersion(const std::string& store, const std::string& wanted) {
  const std::vector<std::string> parts = absl::StrSplit(wanted, absl::MaxSplits('@', 1));
  const ModelStore models{fs::path(store)};
  const absl::StatusOr<std::vector<StoredModel>> known = models.List();
  if (!known.ok()) return known.status();
  const auto found = std::find_if(known->begin(), known->end(),
                                  [&](const StoredModel& model) { return model.name == parts[0]; });
  if (found == known->end()) {
    const auto name = [](std::string* out, const StoredModel& model) { out->append(model.name); };
    return absl::NotFoundError(
        absl::StrCat("the store ", store, " has no model ", Quote(parts[0]), "; it has ",
                     known->empty() ? "none" : absl::StrJoin(*known, ", ", name)));
  }
  if (parts.size() == 1) {
    if (!found->active.ok()) return found->active.status();
    return models.Directory(found->name, *found->active);
  }
  if (std::find(found->versions.begin(), found->versions.end(), parts[1]) ==
      found->versions.end()) {
    return absl::NotFoundError(absl::StrCat("model ", found->name, " has no version ",
                                            Quote(parts[1]), "; it has ",
                                            absl::StrJoin(found->versions, ", ")));
  }
  return models.Directory(found->name, parts[1]);
}

// Prints the progress of the evaluation when standard error is a terminal.
class ProgressLine {
 public:
  explicit ProgressLine(int64_t total) : total_(total), shown_(isatty(STDERR_FILENO) == 1) {}
  ~ProgressLine() {
    if (shown_) std::cerr << "\r\x1b[K";
  }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void Show(int64_t done) {
    const absl::Time now = absl::Now();
    if (!shown_ || (now - last_ < absl::Milliseconds(100) && done < total_)) return;
    last_ = now;
    const double rate = static_cast<double>(done) / absl::ToDoubleSeconds(now - start_);
    std::cerr << absl::StrFormat(
                     "\r\x1b[Kevaluating %d/%d, %.1f images/s, %s left", done, total_, rate,
                     absl::FormatDuration(absl::Seconds(
                         static_cast<int64_t>(static_cast<double>(total_ - done) / rate))))
              << std::flush;
  }

 private:
  const int64_t total_;
  const bool shown_;
  const absl::Time start_ = absl::Now();
  absl::Time last_ = absl::InfinitePast();
};

Result Evaluate(const fs::path& version, const std::string& path, const EvaluateOptions& options) {
  Result result;
  result.manifest = model::ReadManifest(version);
  result.dataset = model::OpenDataset(path, options.dataset);
  model::CheckEvaluable(result.dataset);
  const std::string device = model::ResolveDevice(options.device);
  ProgressLine line(std::count_if(
      result.dataset.samples.begin(), result.dataset.samples.end(),
      [](const model::Sample& sample) { return sample.split == model::Split::kTest; }));
  result.evaluation = model::EvaluateVersion(
      version, device, result.dataset, options.evaluator,
      [&line](int64_t done) {
        line.Show(done);
        return true;
      },
      &result.skipped);
  return result;
}

void PrintJson(const Result& result) {
  Json metrics = Json::array();
  for (const model::Metric& metric : result.evaluation.metrics) {
    metrics.push_back({{"name", metric.name},
                       {"category", metric.category},
                       {"value", metric.value},
                       {"images", metric.images}});
  }
  Json samples = Json::array();
  for (const model::ScoredSample& sample : result.evaluation.samples) {
    samples.push_back({{"name", sample.name},
                       {"category", sample.category},
                       {"defect", sample.defect},
                       {"score", sample.score}});
  }
  const Json report = {{"model", result.manifest.name},
                       {"version", result.manifest.version},
                       {"manifest_hash", result.manifest.hash},
                       {"dataset", result.dataset.root.string()},
                       {"format", model::NameOf(result.dataset.format)},
                       {"images", result.evaluation.samples.size()},
                       {"labels", LabelsToJson(result.dataset)},
                       {"skipped", result.skipped},
                       {"metrics", metrics},
                       {"samples", samples}};
  std::cout << report.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
}

std::vector<std::string> Row(const model::Evaluation& evaluation, const std::string& category,
                             int64_t images) {
  std::vector<std::string> row = {category.empty() ? "mean" : Printable(category),
                                  absl::StrCat(images)};
  for (const std::string& name : model::MetricNames()) {
    const model::Metric* const metric = evaluation.Find(name, category);
    row.push_back(metric == nullptr ? "-" : absl::StrFormat("%.4f", metric->value));
  }
  return row;
}

void Print(const Result& result) {
  const model::Evaluation& evaluation = result.evaluation;
  std::cout << result.manifest.name << "@" << result.manifest.version << " on "
            << Printable(result.dataset.root.string()) << ", " << evaluation.samples.size()
            << " test images\n\n";
  std::vector<std::string> header = {"category", "images"};
  header.insert(header.end(), model::MetricNames().begin(), model::MetricNames().end());
  std::vector<std::vector<std::string>> rows = {std::move(header)};
  for (const std::string& category : result.dataset.categories) {
    const auto images = std::count_if(
        evaluation.samples.begin(), evaluation.samples.end(),
        [&](const model::ScoredSample& sample) { return sample.category == category; });
    if (images > 0) rows.push_back(Row(evaluation, category, images));
  }
  rows.push_back(Row(evaluation, "", static_cast<int64_t>(evaluation.samples.size())));
  std::cout << FormatTable(rows) << GoodLabelsText(result.dataset);
  if (result.skipped.empty()) return;
  std::cout << "\nskipped images that cannot be read (" << result.skipped.size() << "):\n";
  for (const std::string& name : result.skipped) std::cout << "  " << Printable(name) << "\n";
}

// Prints the error; returns the exit code.
int Fail(const absl::Status& status) {
  std::cerr << "proad-trainer: " << status.message() << "\n";
  return 1;
}

int Run(const EvaluateOptions& options) {
  fs::path version = options.version_dir;
  if (options.version_dir.empty()) {
    const absl::StatusOr<fs::path> found = FindVersion(options.store, options.first);
    if (!found.ok()) return Fail(found.status());
    version = *found;
  }
  // Opened before the evaluation, so that a path that cannot be written fails at once.
  std::optional<model::AtomicFile> page;
  if (!options.report.empty()) page.emplace(options.report);
  const Result result =
      Evaluate(version, options.second.empty() ? options.first : options.second, options);
  if (page) {
    page->Write(EvaluationPage(result.manifest, result.dataset, result.evaluation, result.skipped));
    page->Commit();
  }
  if (options.json) {
    PrintJson(result);
  } else {
    Print(result);
  }
  return 0;
}

// Checks the number of arguments, which depends on whether --version-dir is given.
void CheckArguments(const EvaluateOptions& options) {
  const bool stored = options.version_dir.empty();
  if (stored && options.store.empty()) throw CLI::RequiredError("--store, or --version-dir");
  if (options.first.empty() || options.second.empty() == stored) {
    throw CLI::ValidationError(
        stored ? "give a model and a dataset: evaluate --store DIR MODEL[@VERSION] DATASET"
               : "give only a dataset: evaluate --version-dir DIR DATASET");
  }
}

}  // namespace

void AddEvaluateCommand(CLI::App& command, Command& run) {
  const auto options = std::make_shared<EvaluateOptions>();
  CLI::Option* const store = command.add_option("--store", options->store, "Model store directory");
  command
      .add_option("--version-dir", options->version_dir,
                  "Directory of a version, instead of --store and MODEL")
      ->excludes(store);
  command
      .add_option("MODEL[@VERSION]", options->first,
                  "Model and version (default: the active one); not with --version-dir")
      ->option_text(" ");
  command
      .add_option("DATASET", options->second,
                  "Dataset: a folder, or the list of a CSV or Real-IAD dataset")
      ->option_text(" ");
  command.add_option("--device", options->device, "auto, cpu, cuda or cuda:N")
      ->capture_default_str();
  AddDatasetOptions(command, options->dataset);
  AddImageOptions(command, options->evaluator.limits);
  command.add_flag("--skip-unreadable", options->evaluator.skip_unreadable,
                   "Skip images that cannot be read, and list them");
  command.add_option("--report", options->report, "Also write the result as an HTML page")
      ->option_text("FILE.html");
  command.add_flag("--json", options->json, "Print the result with all scores as JSON");
  command.callback([options, &run] {
    CheckArguments(*options);
    run = [options] { return Run(*options); };
  });
}

}  // namespace proad::server
