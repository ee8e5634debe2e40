// proad detect: inspects the images of files and folders, several at a time.
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
#include "client/cli/images.h"
#include "client/cli/options.h"
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
  int64_t max_request_bytes = kDefaultMaxRequestBytes;
};

bool WantsMaps(const DetectOptions& options) {
  return options.overlay || options.heatmap != proad::v1::HEATMAP_FORMAT_UNSPECIFIED;
}

// Returns an error of the combination of options, which the parser does not check. Empty when valid.
std::string CheckOptions(const DetectOptions& options) {
  if (WantsMaps(options) && options.out.empty()) {
    return "--overlay and --heatmap need --out DIR, the folder for their files";
  }
  if (!WantsMaps(options) && !options.out.empty()) {
    return "--out needs --overlay or --heatmap FORMAT: without them there is nothing to write";
  }
  if (options.threshold && !(std::isfinite(*options.threshold) && *options.threshold > 0)) {
    return "--threshold must be above 0: scores range from 0 to 2";
  }
  return "";
}

// Returns an error that names two images whose maps would have the same path. Empty without such.
std::string CheckOutputs(const std::vector<InputImage>& images) {
  std::map<std::string, std::string> owners;
  for (const InputImage& image : images) {
    const auto [owner, added] = owners.emplace(image.relative.string(), image.path.string());
    if (added) continue;
    return absl::StrCat("the maps of ", owner->second, " and ", image.path.string(),
                        " would have the same path: name the folder that contains both instead");
  }
  return "";
}

// Returns the product class for the request of an image. Empty for none.
std::string CategoryOf(const DetectOptions& options, const InputImage& image) {
  if (!options.category_from_folder) return options.category;
  const auto label = LabelOf(image.path, options.labels_from_folders);
  return label ? label->category : "";
}

proad::v1::DetectRequest MakeRequest(const DetectOptions& options, const InputImage& image,
                                     std::string encoded) {
  proad::v1::DetectRequest request;
  request.set_model(options.model);
  request.set_category(CategoryOf(options, image));
  request.set_encoded(std::move(encoded));
  request.mutable_outputs()->set_heatmap(options.heatmap);
  if (options.overlay) request.mutable_outputs()->set_overlay(proad::v1::OVERLAY_FORMAT_PNG);
  request.mutable_outputs()->set_resolution(options.resolution);
  if (options.threshold) request.set_threshold(*options.threshold);
  request.mutable_labels()->insert(options.labels.begin(), options.labels.end());
  return request;
}

DetectRow Inspect(const DetectOptions& options, const DetectionClient& client,
                  const InputImage& image) {
  DetectRow row{image.path.string(), absl::UnknownError("not inspected"), {}, {}, {}};
  absl::StatusOr<std::string> encoded = image.problem.ok() ? ReadImage(image.path) : image.problem;
  if (!encoded.ok()) {
    row.detection = encoded.status();
    return row;
  }
  const proad::v1::DetectRequest request = MakeRequest(options, image, *std::move(encoded));
  const absl::Time start = absl::Now();
  row.detection = client.Detect(request);
  row.elapsed = absl::Now() - start;
  if (!row.detection.ok() || !WantsMaps(options)) return row;
  row.saved =
      WriteMaps(*row.detection, std::filesystem::path(options.out) / image.relative, row.maps);
  row.detection->clear_heatmap();
  row.detection->clear_overlay();
  return row;
}

// Inspects all images, `concurrency` at a time. Calls `on_row` in the order of the images.
template <typename OnRow>
void InspectAll(const DetectOptions& options, const DetectionClient& client,
                const std::vector<InputImage>& images, OnRow on_row) {
  std::vector<std::promise<DetectRow>> rows(images.size());
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < images.size(); i = next++) {
      rows[i].set_value(Inspect(options, client, images[i]));
    }
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < options.concurrency; ++i) threads.emplace_back(work);
  for (size_t i = 0; i < rows.size(); ++i) on_row(images[i], rows[i].get_future().get());
}

// Returns the AUROC report, with labels from folder names. Without --labels-from-folders only when at
// least one category has good and defective images in the layout CATEGORY/test/LABEL, or when a label
// in this layout is ambiguous.
std::optional<AurocReport> MakeReport(const DetectOptions& options,
                                      const std::vector<LabelledScore>& scores) {
  const AurocReport report = MakeAurocReport(scores);
  const bool ambiguous = report.folders.count(FolderMeaning::kAmbiguous) > 0;
  if (!options.labels_from_folders && !report.mean && !ambiguous) return std::nullopt;
  return report;
}

int ExitCodeOf(const DetectOptions& options, const DetectSummary& summary) {
  if (options.fail_on_anomaly && summary.anomalous > 0) return kAnomaly;
  if (summary.failed > 0) {
    const bool no_server = summary.unreachable == summary.failed &&
                           summary.normal + summary.anomalous + summary.undecided == 0;
    return no_server ? kUnreachable : kSomeFailed;
  }
  // An undecided part must not pass as a good one.
  if (options.fail_on_anomaly && summary.undecided > 0) return kSomeFailed;
  return kOk;
}

DetectReport::Style StyleOf(const DetectOptions& options) {
  if (options.json) return DetectReport::Style::kJson;
  return WantsColour() ? DetectReport::Style::kColouredTable : DetectReport::Style::kTable;
}

int RunDetect(const DetectOptions& options) {
  const ImageList list = CollectImages(options.inputs);
  const std::vector<InputImage>& images = list.images;
  std::string problem = CheckOptions(options);
  if (problem.empty() && images.empty()) {
    problem = "nothing to inspect: proad detect wrote all of the given files";
  }
  if (problem.empty() && WantsMaps(options)) problem = CheckOutputs(images);
  if (!problem.empty()) {
    std::cerr << "proad detect: " << problem << "\n";
    return kUsage;
  }
  const auto channel = Open(options.server);
  if (!channel.ok()) return Fail(channel.status());
  // A server that is not serving its default model yet can serve another model: with --model, each
  // call reports the error.
  if (options.model.empty()) {
    const absl::Status serving = WaitUntilServing(*channel, options.server.deadline);
    if (!serving.ok()) std::cerr << "proad detect: " << serving.message() << "\n";
  }
  const DetectionClient client(*channel, {.deadline = options.server.deadline,
                                          .max_request_bytes = options.max_request_bytes});

  std::vector<std::string> files;
  for (const InputImage& image : images) files.push_back(image.path.string());
  DetectReport report(StyleOf(options), files);
  std::vector<LabelledScore> scores;
  std::cout << report.Header() << std::flush;
  const absl::Time start = absl::Now();
  InspectAll(options, client, images, [&](const InputImage& image, const DetectRow& row) {
    std::cout << report.Add(row) << std::flush;
    if (!row.detection.ok()) return;
    if (auto label = LabelOf(image.path, options.labels_from_folders)) {
      scores.push_back({*label, row.detection->score()});
    }
  });
  std::cout << report.Footer(absl::Now() - start, list.skipped, MakeReport(options, scores));
  return ExitCodeOf(options, report.summary());
}

void AddRequestOptions(CLI::App& command, DetectOptions& options) {
  command.add_option("--model", options.model,
                     "name or name@version (default: the server's default model)");
  CLI::Option* const category = command.add_option("--category", options.category,
                                                   "product class, which selects the threshold");
  command
      .add_flag("--category-from-folder", options.category_from_folder,
                "product class from the folder of each image: CATEGORY in CATEGORY/test/good/x.png")
      ->excludes(category);
  command.add_option("--threshold", options.threshold,
                     "threshold for the score (default: the threshold of the version)");
  AddLabels(
      command,
      [&options](const std::string& key, const std::string& value) { options.labels[key] = value; },
      "label of the part, for the server's log; repeatable");
}

void AddOutputOptions(CLI::App& command, DetectOptions& options) {
  AddChoice<proad::v1::HeatmapFormat>(
      command, "--heatmap",
      {{"float32", proad::v1::HEATMAP_FORMAT_FLOAT32},
       {"u16", proad::v1::HEATMAP_FORMAT_U16_SCALED},
       {"u8", proad::v1::HEATMAP_FORMAT_U8_SCALED},
       {"png16", proad::v1::HEATMAP_FORMAT_PNG16}},
      [&options](proad::v1::HeatmapFormat format) { options.heatmap = format; },
      "write anomaly maps in this format: float32, u16, u8 or png16");
  command.add_flag("--overlay", options.overlay,
                   "write the images with their maps drawn over them");
  AddChoice<proad::v1::Resolution>(
      command, "--resolution",
      {{"model", proad::v1::RESOLUTION_MODEL}, {"original", proad::v1::RESOLUTION_ORIGINAL}},
      [&options](proad::v1::Resolution resolution) { options.resolution = resolution; },
      "pixel grid of the maps: model (default) or original, the grid of the image");
  command.add_option("--out", options.out, "folder for overlays and heatmaps")->type_name("DIR");
  command.add_flag("--json", options.json,
                   "print one JSON object per image, and a summary as the last line");
  command.add_flag("--fail-on-anomaly", options.fail_on_anomaly,
                   "exit with 10 when an image is anomalous, with 1 when one is undecided");
  command.add_flag(
      "--labels-from-folders,--auroc", options.labels_from_folders,
      "print the image AUROC: images in folders named good, ok, pass or a synonym are good, all "
      "others defective (default: only in the layout CATEGORY/test/LABEL)");
  command
      .add_option("--max-request-bytes", options.max_request_bytes,
                  "size of the largest request; larger images are reported and not sent. Raise it "
                  "together with server.max_message_bytes")
      ->type_name("BYTES")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--concurrency", options.concurrency, "number of images inspected at a time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
}

}  // namespace

void AddDetectCommand(CLI::App& app, Command& run) {
  const auto options = std::make_shared<DetectOptions>();
  CLI::App* const command =
      app.add_subcommand("detect", "Inspect images: files, or all images below folders");
  command->footer(
      "In folders, inspects files with the extension of an image and skips links to folders, "
      "hidden "
      "and system files, folders named ground_truth, and maps that this command wrote. The summary "
      "counts skipped files and folders.\n"
      "Exit codes: 0 success, 1 some images failed, 2 invalid usage, 3 no server, 10 with "
      "--fail-on-anomaly: an image is anomalous.\n");
  command->add_option("inputs", options->inputs, "image files and folders")
      ->required()
      ->type_name("FILE|DIR");
  AddServerOptions(*command, options->server);
  AddRequestOptions(*command, *options);
  AddOutputOptions(*command, *options);
  command->callback([options, &run] { run = [options] { return RunDetect(*options); }; });
}

}  // namespace proad::client
