// proad detect: inspects files and folders, several pictures at a time.
#include <atomic>
#include <cmath>
#include <future>
#include <iostream>
#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/detect_report.h"
#include "client/cli/exit_code.h"
#include "client/cli/options.h"
#include "client/cli/pictures.h"
#include "client/cli/terminal.h"
#include "client/detection_client.h"

namespace proad::client {
namespace {

struct DetectOptions {
  ServerOptions server;
  std::vector<std::string> inputs;
  std::string model;
  std::string category;
  bool category_from_folder = false;
  std::optional<double> threshold;
  std::map<std::string, std::string> labels;
  proad::v1::HeatmapFormat heatmap = proad::v1::HEATMAP_FORMAT_UNSPECIFIED;
  bool overlay = false;
  proad::v1::Resolution resolution = proad::v1::RESOLUTION_MODEL;
  std::string out;
  bool json = false;
  bool fail_on_anomaly = false;
  bool labels_from_folders = false;
  int concurrency = 4;
};

bool WantsMaps(const DetectOptions& options) {
  return options.overlay || options.heatmap != proad::v1::HEATMAP_FORMAT_UNSPECIFIED;
}

// What the parser cannot check by itself; "" when all is well.
std::string CheckOptions(const DetectOptions& options) {
  if (WantsMaps(options) && options.out.empty()) {
    return "--overlay and --heatmap need --out DIR, where their files go";
  }
  if (!WantsMaps(options) && !options.out.empty()) {
    return "--out needs --overlay or --heatmap FORMAT: there is nothing to write";
  }
  if (options.threshold && !(std::isfinite(*options.threshold) && *options.threshold > 0)) {
    return "--threshold must be above 0: it is compared with scores, which lie in 0..2";
  }
  return "";
}

// Two pictures whose maps would overwrite each other; "" when there are none.
std::string CheckOutputs(const std::vector<Picture>& pictures) {
  std::map<std::string, std::string> owners;
  for (const Picture& picture : pictures) {
    const auto [owner, added] = owners.emplace(picture.relative.string(), picture.path.string());
    if (added) continue;
    return absl::StrCat("the maps of ", owner->second, " and ", picture.path.string(),
                        " would go to the same file: name the folder above both instead");
  }
  return "";
}

// The product class to name for a picture; "": none.
std::string CategoryOf(const DetectOptions& options, const Picture& picture) {
  if (!options.category_from_folder) return options.category;
  const auto label = LabelOf(picture.path, options.labels_from_folders);
  return label ? label->category : "";
}

proad::v1::DetectRequest MakeRequest(const DetectOptions& options, const Picture& picture,
                                     std::string encoded) {
  proad::v1::DetectRequest request;
  request.set_model(options.model);
  request.set_category(CategoryOf(options, picture));
  request.set_encoded(std::move(encoded));
  request.mutable_outputs()->set_heatmap(options.heatmap);
  if (options.overlay) request.mutable_outputs()->set_overlay(proad::v1::OVERLAY_FORMAT_PNG);
  request.mutable_outputs()->set_resolution(options.resolution);
  if (options.threshold) request.set_threshold(*options.threshold);
  request.mutable_labels()->insert(options.labels.begin(), options.labels.end());
  return request;
}

DetectRow Inspect(const DetectOptions& options, const DetectionClient& client,
                  const Picture& picture) {
  DetectRow row{picture.path.string(), absl::UnknownError("not inspected"), {}, {}, {}};
  absl::StatusOr<std::string> encoded =
      picture.problem.ok() ? ReadPicture(picture.path) : picture.problem;
  if (!encoded.ok()) {
    row.detection = encoded.status();
    return row;
  }
  const proad::v1::DetectRequest request = MakeRequest(options, picture, *std::move(encoded));
  const absl::Time start = absl::Now();
  row.detection = client.Detect(request);
  row.elapsed = absl::Now() - start;
  if (!row.detection.ok() || !WantsMaps(options)) return row;
  row.saved =
      WriteMaps(*row.detection, std::filesystem::path(options.out) / picture.relative, row.maps);
  row.detection->clear_heatmap();
  row.detection->clear_overlay();
  return row;
}

// Inspects all pictures, `concurrency` at a time, and hands the rows on in the pictures' order.
template <typename OnRow>
void InspectAll(const DetectOptions& options, const DetectionClient& client,
                const std::vector<Picture>& pictures, OnRow on_row) {
  std::vector<std::promise<DetectRow>> rows(pictures.size());
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < pictures.size(); i = next++) {
      rows[i].set_value(Inspect(options, client, pictures[i]));
    }
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < options.concurrency; ++i) threads.emplace_back(work);
  for (size_t i = 0; i < rows.size(); ++i) on_row(pictures[i], rows[i].get_future().get());
}

// The scores whose folders say what they should be. Without being asked, only when the pictures are
// clearly laid out for it: some good, some not.
std::optional<AurocReport> MakeReport(const DetectOptions& options,
                                      const std::vector<LabelledScore>& scores) {
  const AurocReport report = MakeAurocReport(scores);
  if (!options.labels_from_folders && !report.mean) return std::nullopt;
  return report;
}

int ExitCodeOf(const DetectOptions& options, const DetectSummary& summary) {
  if (options.fail_on_anomaly && summary.anomalous > 0) return kAnomaly;
  if (summary.failed > 0) {
    const bool nobody = summary.unreachable == summary.failed &&
                        summary.normal + summary.anomalous + summary.undecided == 0;
    return nobody ? kUnreachable : kSomeFailed;
  }
  // Whoever asks for a decision must not take the lack of one for "good".
  if (options.fail_on_anomaly && summary.undecided > 0) return kSomeFailed;
  return kOk;
}

DetectReport::Style StyleOf(const DetectOptions& options) {
  if (options.json) return DetectReport::Style::kJson;
  return WantsColour() ? DetectReport::Style::kColouredTable : DetectReport::Style::kTable;
}

int RunDetect(const DetectOptions& options) {
  const std::vector<Picture> pictures = CollectPictures(options.inputs);
  std::string problem = CheckOptions(options);
  if (problem.empty() && WantsMaps(options)) problem = CheckOutputs(pictures);
  if (!problem.empty()) {
    std::cerr << "proad detect: " << problem << "\n";
    return kUsage;
  }
  const auto channel = Open(options.server);
  if (!channel.ok()) return Fail(channel.status());
  // One that does not serve yet may still serve the named model; if not, every row says why.
  if (options.model.empty()) {
    const absl::Status serving = WaitUntilServing(*channel, options.server.deadline);
    if (!serving.ok()) std::cerr << "proad detect: " << serving.message() << "\n";
  }
  const DetectionClient client(*channel, {.deadline = options.server.deadline});

  std::vector<std::string> files;
  for (const Picture& picture : pictures) files.push_back(picture.path.string());
  DetectReport report(StyleOf(options), files);
  std::vector<LabelledScore> scores;
  std::cout << report.Header() << std::flush;
  const absl::Time start = absl::Now();
  InspectAll(options, client, pictures, [&](const Picture& picture, const DetectRow& row) {
    std::cout << report.Add(row) << std::flush;
    if (!row.detection.ok()) return;
    if (auto label = LabelOf(picture.path, options.labels_from_folders)) {
      scores.push_back({*label, row.detection->score()});
    }
  });
  std::cout << report.Footer(absl::Now() - start, MakeReport(options, scores));
  return ExitCodeOf(options, report.summary());
}

void AddRequestOptions(CLI::App& command, DetectOptions& options) {
  command.add_option("--model", options.model,
                     "name or name@version (default: the server's default model)");
  CLI::Option* const category =
      command.add_option("--category", options.category, "product class: picks the threshold");
  command
      .add_flag("--category-from-folder", options.category_from_folder,
                "product class of each picture: the folder CATEGORY of CATEGORY/test/good/x.png")
      ->excludes(category);
  command.add_option("--threshold", options.threshold,
                     "decide with this score instead of the calibrated one");
  AddLabels(
      command,
      [&options](const std::string& key, const std::string& value) { options.labels[key] = value; },
      "label of the part, kept in the server's log; may be given several times");
}

void AddOutputOptions(CLI::App& command, DetectOptions& options) {
  AddChoice<proad::v1::HeatmapFormat>(
      command, "--heatmap",
      {{"float32", proad::v1::HEATMAP_FORMAT_FLOAT32},
       {"u16", proad::v1::HEATMAP_FORMAT_U16_SCALED},
       {"u8", proad::v1::HEATMAP_FORMAT_U8_SCALED},
       {"png16", proad::v1::HEATMAP_FORMAT_PNG16}},
      [&options](proad::v1::HeatmapFormat format) { options.heatmap = format; },
      "write anomaly maps: float32, u16, u8 or png16");
  command.add_flag("--overlay", options.overlay, "write the pictures with their maps over them");
  AddChoice<proad::v1::Resolution>(
      command, "--resolution",
      {{"model", proad::v1::RESOLUTION_MODEL}, {"original", proad::v1::RESOLUTION_ORIGINAL}},
      [&options](proad::v1::Resolution resolution) { options.resolution = resolution; },
      "pixel grid of the maps: the model's own (default) or the original picture's");
  command.add_option("--out", options.out, "folder for overlays and heatmaps")->type_name("DIR");
  command.add_flag("--json", options.json, "one JSON object a line, the last one a summary");
  command.add_flag("--fail-on-anomaly", options.fail_on_anomaly,
                   "exit with 10 when a picture is anomalous, with 1 when one is undecided");
  command.add_flag("--labels-from-folders,--auroc", options.labels_from_folders,
                   "print the image AUROC: pictures in folders named good are good, others are not "
                   "(by itself in the layout CATEGORY/test/good)");
  command.add_option("--concurrency", options.concurrency, "pictures in flight")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
}

}  // namespace

void AddDetectCommand(CLI::App& app, Command& run) {
  const auto options = std::make_shared<DetectOptions>();
  CLI::App* const command = app.add_subcommand(
      "detect", "Inspect pictures: files, or folders with all pictures below them");
  command->footer(
      "Hidden folders and folders named ground_truth are left out.\n"
      "Exit codes: 0 ok, 1 some pictures failed, 2 usage, 3 no server, 10 an anomaly was found and "
      "--fail-on-anomaly given.\n");
  command->add_option("inputs", options->inputs, "pictures and folders")
      ->required()
      ->type_name("FILE|DIR");
  AddServerOptions(*command, options->server);
  AddRequestOptions(*command, *options);
  AddOutputOptions(*command, *options);
  command->callback([options, &run] { run = [options] { return RunDetect(*options); }; });
}

}  // namespace proad::client
