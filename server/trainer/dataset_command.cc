#include "server/trainer/dataset_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/dataset/dataset.h"
#include "model/dataset/dataset_report.h"
#include "model/files/error.h"
#include "server/trainer/image_options.h"
#include "server/trainer/label_table.h"
#include "server/trainer/text_table.h"

namespace proad::server {
namespace {

using Json = nlohmann::ordered_json;

// Findings of one kind that the text output lists, so that all kinds fit on one screen.
constexpr size_t kShown = 3;

struct CheckOptions {
  std::string path;
  model::DatasetOptions dataset;
  model::ImageLimits limits;
  bool json = false;
};

// The error of the dataset as a whole, or "".
std::string DatasetError(void (*check)(const model::Dataset&), const model::Dataset& dataset) {
  try {
    check(dataset);
    return "";
  } catch (const model::InvalidInput& error) {
    return error.what();
  }
}

// Files that have one problem in common.
struct Problem {
  std::string title;  // what the files are: "masks that cannot be used"
  std::vector<std::string> files;
  bool is_note = false;  // no training refuses it, and no figure changes
};

std::vector<std::string> Lines(const std::vector<model::FileFinding>& findings) {
  std::vector<std::string> lines;
  for (const model::FileFinding& finding : findings)
    lines.push_back(absl::StrCat(finding.name, ": ", finding.problem));
  return lines;
}

std::vector<std::string> Lines(const std::vector<model::SplitDuplicate>& duplicates) {
  std::vector<std::string> lines;
  for (const model::SplitDuplicate& duplicate : duplicates)
    lines.push_back(absl::StrCat(duplicate.test, " is the same as ", duplicate.train));
  return lines;
}

// The problems that have files, problems first and notes last.
std::vector<Problem> ProblemsOf(const model::Dataset& dataset, const model::DatasetReport& report) {
  std::vector<Problem> problems = {
      {"images that cannot be read", Lines(report.unreadable)},
      {"masks that cannot be used", Lines(report.bad_masks)},
      {"test images that are also training images", Lines(report.duplicates)},
  };
  std::map<model::MaskIssue, std::vector<model::FileFinding>> issues;
  for (const model::MaskFinding& finding : report.mask_findings)
    issues[finding.issue].push_back({finding.name, finding.problem});
  for (const auto& [issue, masks] : issues)
    problems.push_back({model::TitleOf(issue), Lines(masks), model::IsNote(issue)});
  problems.push_back({"files that are ignored", dataset.ignored, true});
  std::erase_if(problems, [](const Problem& problem) { return problem.files.empty(); });
  return problems;
}

bool IsSound(const model::DatasetReport& report) {
  return report.unreadable.empty() && report.bad_masks.empty() && report.duplicates.empty() &&
         std::all_of(report.mask_findings.begin(), report.mask_findings.end(),
                     [](const auto& finding) { return model::IsNote(finding.issue); });
}

Json ToJson(const model::SplitReport& split) {
  return {{"good", split.good}, {"defective", split.defective}, {"masks", split.masks}};
}

Json ToJson(const std::vector<model::FileFinding>& findings) {
  Json list = Json::array();
  for (const model::FileFinding& finding : findings)
    list.push_back({{"file", finding.name}, {"problem", finding.problem}});
  return list;
}

Json ToJson(const std::vector<model::MaskFinding>& findings) {
  Json list = Json::array();
  for (const model::MaskFinding& finding : findings) {
    list.push_back({{"file", finding.name},
                    {"issue", model::TitleOf(finding.issue)},
                    {"problem", finding.problem},
                    {"note", model::IsNote(finding.issue)},
                    {"contradicts_label", model::ContradictsLabel(finding.issue)}});
  }
  return list;
}

Json OrNull(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json ToJson(const model::Dataset& dataset, const model::DatasetReport& report) {
  Json categories = Json::array();
  for (const auto& [name, category] : report.categories) {
    categories.push_back({{"category", name},
                          {"train", ToJson(category.train)},
                          {"test", ToJson(category.test)},
                          {"min_width", category.min_width},
                          {"max_width", category.max_width},
                          {"min_height", category.min_height},
                          {"max_height", category.max_height},
                          {"mixed_sizes", category.mixed_sizes()}});
  }
  Json duplicates = Json::array();
  for (const model::SplitDuplicate& duplicate : report.duplicates)
    duplicates.push_back({{"train", duplicate.train}, {"test", duplicate.test}});
  return {{"dataset", dataset.root.string()},
          {"format", model::NameOf(dataset.format)},
          {"ok", IsSound(report)},
          {"categories", categories},
          {"unreadable", ToJson(report.unreadable)},
          {"bad_masks", ToJson(report.bad_masks)},
          {"duplicates", duplicates},
          {"labels", LabelsToJson(dataset)},
          {"mask_findings", ToJson(report.mask_findings)},
          {"ignored", dataset.ignored},
          {"skipped", SkippedToJson(dataset)},
          {"train_error", OrNull(DatasetError(model::CheckTrainable, dataset))},
          {"evaluate_error", OrNull(DatasetError(model::CheckEvaluable, dataset))},
          {"fingerprint", report.fingerprint}};
}

std::string Range(int64_t low, int64_t high) {
  return low == high ? absl::StrCat(low) : absl::StrCat(low, "-", high);
}

std::string Size(const model::CategoryReport& category) {
  if (category.max_width == 0) return "-";
  return absl::StrCat(Range(category.min_width, category.max_width), " x ",
                      Range(category.min_height, category.max_height));
}

void Add(const model::CategoryReport& category, model::CategoryReport& total) {
  for (const auto& [from, to] :
       {std::pair(&category.train, &total.train), std::pair(&category.test, &total.test)}) {
    to->good += from->good;
    to->defective += from->defective;
    to->masks += from->masks;
  }
}

std::vector<std::string> Row(const std::string& name, const model::CategoryReport& category,
                             const std::string& size) {
  return {name,
          absl::StrCat(category.train.good),
          absl::StrCat(category.test.good),
          absl::StrCat(category.test.defective),
          absl::StrCat(category.train.masks + category.test.masks),
          size};
}

void PrintProblem(const Problem& problem) {
  std::cout << "  " << problem.files.size() << " " << problem.title << "\n";
  for (size_t i = 0; i < std::min(problem.files.size(), kShown); ++i)
    std::cout << "      " << Printable(problem.files[i]) << "\n";
  if (problem.files.size() > kShown)
    std::cout << "      and " << problem.files.size() - kShown << " more; --json lists all\n";
}

// Prints the problems, or the notes, under a heading.
void PrintProblems(const char* heading, const std::vector<Problem>& problems, bool notes) {
  bool first = true;
  for (const Problem& problem : problems) {
    if (problem.is_note != notes) continue;
    if (first) std::cout << "\n" << heading << "\n";
    first = false;
    PrintProblem(problem);
  }
}

void PrintDatasetError(const char* use, const std::string& error) {
  if (!error.empty()) std::cout << "cannot be " << use << ": " << Printable(error) << "\n";
}

void PrintCounts(const model::DatasetReport& report) {
  std::vector<std::vector<std::string>> rows = {
      {"category", "train good", "test good", "test defective", "masks", "size"}};
  model::CategoryReport total;
  for (const auto& [name, category] : report.categories) {
    rows.push_back(Row(Printable(name), category, Size(category)));
    Add(category, total);
  }
  if (report.categories.size() > 1) rows.push_back(Row("all", total, ""));
  std::cout << FormatTable(rows);
}

void Print(const model::Dataset& dataset, const model::DatasetReport& report) {
  std::cout << Printable(dataset.root.string()) << ", layout " << model::NameOf(dataset.format)
            << "\n\n";
  PrintCounts(report);
  std::cout << "\n" << LabelTableText(dataset);
  const std::vector<Problem> problems = ProblemsOf(dataset, report);
  PrintProblems("Problems: a training refuses these files, or their figures are wrong:", problems,
                false);
  PrintProblems("Notes:", problems, true);
  std::cout << SkippedText(dataset);
  std::cout << "\n";
  PrintDatasetError("trained on", DatasetError(model::CheckTrainable, dataset));
  PrintDatasetError("evaluated on", DatasetError(model::CheckEvaluable, dataset));
  std::cout << "fingerprint " << report.fingerprint << "\n"
            << (IsSound(report) ? "all files can be used\n"
                                : "result: correct the problems above, then check again\n");
}

// Shows the number of files read so far, if standard error is a terminal.
void ShowProgress(int64_t done, int64_t total) {
  if (isatty(STDERR_FILENO) == 0) return;
  std::cerr << "\rchecked " << done << " of " << total << " images\x1b[K" << std::flush;
}

void EraseProgress() {
  if (isatty(STDERR_FILENO) != 0) std::cerr << "\r\x1b[K" << std::flush;
}

int Check(const CheckOptions& options) {
  const model::Dataset dataset = model::OpenDataset(options.path, options.dataset);
  const model::DatasetReport report =
      model::CheckDataset(dataset, options.limits, {.progress = ShowProgress});
  EraseProgress();
  if (options.json) {
    // Names of ignored files may contain any bytes.
    std::cout << ToJson(dataset, report).dump(2, ' ', false, Json::error_handler_t::replace)
              << "\n";
  } else {
    Print(dataset, report);
  }
  return IsSound(report) ? 0 : 1;
}

}  // namespace

void AddDatasetOptions(CLI::App& command, model::DatasetOptions& options) {
  using model::DatasetFormat;
  std::vector<std::pair<std::string, DatasetFormat>> formats;
  for (const DatasetFormat format :
       {DatasetFormat::kAuto, DatasetFormat::kMvtec, DatasetFormat::kVisa, DatasetFormat::kVisa1cls,
        DatasetFormat::kRealIad, DatasetFormat::kFolder, DatasetFormat::kCsv}) {
    formats.emplace_back(model::NameOf(format), format);
  }
  command
      .add_option("--format", options.format,
                  "Layout: auto (default), mvtec, visa, visa_1cls, real_iad, folder or csv")
      ->option_text("LAYOUT")
      ->transform(CLI::CheckedTransformer(formats));
  command
      .add_option("--category", options.categories,
                  "Use only this category; may be given again (default: all)")
      ->option_text("NAME")
      ->allow_extra_args(false);
}

void AddDatasetCommand(CLI::App& command, Command& run) {
  const auto options = std::make_shared<CheckOptions>();
  command.require_subcommand(1);
  CLI::App* const check = command.add_subcommand(
      "check",
      "Decode all images and masks; count them; find unreadable files, images in both splits, and "
      "masks that contradict labels");
  check
      ->add_option("PATH", options->path,
                   "Dataset: a folder, or the list of a CSV or Real-IAD dataset")
      ->required();
  AddDatasetOptions(*check, options->dataset);
  AddImageOptions(*check, options->limits);
  check->footer(
      "Exit codes: 0 no problem, 1 a file or the dataset has a problem, 2 invalid usage.\n");
  check->add_flag("--json", options->json, "Print everything as JSON");
  check->callback([options, &run] { run = [options] { return Check(*options); }; });
}

}  // namespace proad::server
