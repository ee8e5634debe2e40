#include "server/trainer/dataset_command.h"

#include <algorithm>
#include <cstdint>
#include <iostream>
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
#include "server/trainer/text_table.h"

namespace proad::server {
namespace {

using Json = nlohmann::ordered_json;

// Findings of one kind that the text output lists.
constexpr size_t kShown = 20;

struct CheckOptions {
  std::string path;
  model::DatasetOptions dataset;
  model::ImageLimits limits;
  model::ImageReading reading;
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

bool IsSound(const model::DatasetReport& report) {
  return report.unreadable.empty() && report.bad_masks.empty() && report.duplicates.empty();
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
          {"ignored", dataset.ignored},
          {"turned", report.turned},
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

void PrintList(const std::string& title, const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  std::cout << "\n" << title << " (" << lines.size() << "):\n";
  for (size_t i = 0; i < std::min(lines.size(), kShown); ++i)
    std::cout << "  " << Printable(lines[i]) << "\n";
  if (lines.size() > kShown)
    std::cout << "  and " << lines.size() - kShown << " more; --json lists all\n";
}

void PrintDatasetError(const char* use, const std::string& error) {
  if (!error.empty()) std::cout << "cannot be " << use << ": " << Printable(error) << "\n";
}

std::vector<std::string> Lines(const std::vector<model::FileFinding>& findings) {
  std::vector<std::string> lines;
  for (const model::FileFinding& finding : findings)
    lines.push_back(absl::StrCat(finding.name, ": ", finding.problem));
  return lines;
}

void Print(const model::Dataset& dataset, const model::DatasetReport& report) {
  std::cout << Printable(dataset.root.string()) << ", layout " << model::NameOf(dataset.format)
            << "\n\n";
  std::vector<std::vector<std::string>> rows = {
      {"category", "train good", "test good", "test defective", "masks", "size"}};
  model::CategoryReport total;
  for (const auto& [name, category] : report.categories) {
    rows.push_back(Row(Printable(name), category, Size(category)));
    Add(category, total);
  }
  if (report.categories.size() > 1) rows.push_back(Row("all", total, ""));
  std::cout << FormatTable(rows);

  PrintList("images that cannot be read", Lines(report.unreadable));
  PrintList("masks that cannot be used", Lines(report.bad_masks));
  std::vector<std::string> duplicates;
  for (const model::SplitDuplicate& duplicate : report.duplicates)
    duplicates.push_back(absl::StrCat(duplicate.test, " is the same as ", duplicate.train));
  PrintList("test images that are also training images", duplicates);
  PrintList("files that are ignored", dataset.ignored);

  std::cout << "\n";
  PrintDatasetError("trained on", DatasetError(model::CheckTrainable, dataset));
  PrintDatasetError("evaluated on", DatasetError(model::CheckEvaluable, dataset));
  std::cout << "fingerprint " << report.fingerprint << "\n"
            << (IsSound(report) ? "all files can be used\n" : "some files cannot be used\n");
}

void PrintTurned(const model::DatasetReport& report, const model::ImageReading& reading) {
  if (report.turned.empty()) return;
  const bool applied = reading.orientation == model::Orientation::kApply;
  std::cout << report.turned.size() << " images have an orientation tag other than upright, for "
            << "example " << Printable(report.turned.front()) << "; the tags are "
            << (applied ? "applied: masks must fit the upright view\n"
                        : "ignored: masks must fit the stored pixels (--orientation apply turns "
                          "the images)\n");
}

int Check(const CheckOptions& options) {
  const model::Dataset dataset = model::OpenDataset(options.path, options.dataset);
  const model::DatasetReport report =
      model::CheckDataset(dataset, options.limits, {.reading = options.reading});
  if (options.json) {
    // Names of ignored files may contain any bytes.
    std::cout << ToJson(dataset, report).dump(2, ' ', false, Json::error_handler_t::replace)
              << "\n";
  } else {
    Print(dataset, report);
    PrintTurned(report, options.reading);
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
      "check", "Count images; find images that cannot be read or are in both splits");
  check
      ->add_option("PATH", options->path,
                   "Dataset: a folder, or the list of a CSV or Real-IAD dataset")
      ->required();
  AddDatasetOptions(*check, options->dataset);
  AddImageOptions(*check, options->limits);
  check
      ->add_option_function<std::string>(
          "--orientation",
          [options](const std::string& name) {
            options->reading.orientation = model::ParseOrientation(name);
          },
          "Turn images as their orientation tag says (apply), or ignore it (default)")
      ->check(CLI::IsMember({"ignore", "apply"}));
  check->add_flag("--json", options->json, "Print everything as JSON");
  check->callback([options, &run] { run = [options] { return Check(*options); }; });
}

}  // namespace proad::server
