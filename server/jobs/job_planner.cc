#include "server/jobs/job_planner.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "model/dataset/dataset.h"
#include "model/files/error.h"
#include "model/files/sha256.h"
#include "model/spec/manifest.h"
#include "model/spec/preset.h"
#include "model/spec/train_data.h"
#include "server/serving/model_name.h"
#include "server/util/exception_status.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxDatasetPath = 1024;  // bytes

absl::Status Refuse(absl::StatusCode code, const std::string& field, const std::string& reason,
                    const std::string& message) {
  return MakeError(code, absl::StrCat(field, ": ", message), {.reason = reason, .field = field});
}

// "proad-pyramid" -> "encoder-pyramid"
std::string OwnEncoder(absl::string_view preset) {
  return absl::StrCat("encoder-", preset.substr(preset.find('-') + 1));
}

bool LiesIn(const fs::path& root, const fs::path& path) {
  return std::mismatch(root.begin(), root.end(), path.begin(), path.end()).first == root.end();
}

bool IsDevice(absl::string_view text) {
  if (text == "auto" || text == "cpu" || text == "cuda") return true;
  int index = 0;
  return absl::ConsumePrefix(&text, "cuda:") && !text.empty() &&
         absl::c_all_of(text, absl::ascii_isdigit) && absl::SimpleAtoi(text, &index);
}

// The error of the dataset at `path`, with the caller's field and name instead of the path.
absl::Status OfDataset(const absl::Status& status, const std::string& field, const fs::path& path,
                       const std::string& name) {
  const StatusDetails details = GetDetails(status);
  const std::string message = absl::StrReplaceAll(status.message(), {{path.string(), name}});
  if (details.field == "categories") {
    return Refuse(absl::StatusCode::kNotFound, "spec.categories", details.reason, message);
  }
  return Refuse(status.code(), field,
                details.reason.empty() ? reason::kDatasetInvalid : details.reason, message);
}

// An error of model/ about the specification, with the field as the caller knows it.
absl::Status OfSpec(const absl::Status& status) {
  const StatusDetails details = GetDetails(status);
  if (details.field.empty()) return status;
  return Refuse(status.code(), "spec." + details.field, details.reason,
                std::string(status.message()));
}

std::string FieldOf(const JobPlanner::DatasetRequest& request) {
  return request.id.empty() ? "spec.dataset_path" : "spec.dataset_id";
}

const std::string& NameIn(const JobPlanner::DatasetRequest& request) {
  return request.id.empty() ? request.path : request.id;
}

// For requests whose own fields describe the dataset: the field without "spec.".
absl::Status WithoutSpec(const absl::Status& status) {
  StatusDetails details = GetDetails(status);
  absl::string_view field = details.field, message = status.message();
  if (!absl::ConsumePrefix(&field, "spec.")) return status;
  absl::ConsumePrefix(&message, "spec.");
  details.field = std::string(field);
  return MakeError(status.code(), message, details);
}

// The number of images that a job trains on, if all can be read.
int64_t CountTrained(const model::Dataset& dataset, double validation_share) {
  std::map<std::string, int64_t> good;
  for (const model::Sample& sample : dataset.samples) {
    if (sample.split == model::Split::kTrain && sample.good) ++good[sample.category];
  }
  int64_t trained = 0;
  for (const auto& [category, count] : good) {
    trained += count - model::CountHeldOut(count, validation_share);
  }
  return trained;
}

absl::Status CheckGate(const model::TrainSpec& train) {
  const auto& minimums = train.gate->minimums;
  for (size_t i = 0; i < minimums.size(); ++i) {
    const std::string& category = minimums[i].category;
    if (category.empty() || absl::c_linear_search(train.categories, category)) continue;
    return Refuse(absl::StatusCode::kInvalidArgument,
                  absl::StrCat("spec.gate.minimums[", i, "].category"), reason::kCategoryUnknown,
                  absl::StrCat(Quote(category), " is not a category of the job; there are: ",
                               Enumerate(train.categories)));
  }
  return absl::OkStatus();
}

}  // namespace

JobPlanner::JobPlanner(const Options& options, const DatasetStore& datasets,
                       const ModelStore& models, DeviceResolver resolve_device)
    : options_(options),
      datasets_(datasets),
      models_(models),
      resolve_device_(std::move(resolve_device)) {}

absl::Status JobPlanner::Plan(JobSpec& spec) const {
  if (absl::Status status = PlanDataset(spec); !status.ok()) return status;
  if (absl::Status status = PlanStart(spec); !status.ok()) return status;
  if (absl::Status status = PlanEncoder(spec); !status.ok()) return status;
  if (absl::Status status = CheckStart(spec); !status.ok()) return status;
  if (absl::Status status = PlanDevice(spec); !status.ok()) return status;
  return PlanComparison(spec);
}

absl::StatusOr<model::Dataset> JobPlanner::Open(const DatasetRequest& request) const {
  absl::StatusOr<OpenedDataset> opened = OpenRequested(request);
  if (!opened.ok()) return WithoutSpec(opened.status());
  return std::move(opened->dataset);
}

absl::StatusOr<JobPlanner::OpenedDataset> JobPlanner::OpenRequested(
    const DatasetRequest& request) const {
  const bool uploaded = !request.id.empty();
  // Without links: the trainer opens the path later, and refuses it if it has a link by then.
  const auto path = uploaded ? Uploaded(request.id) : InDataRoot(request.path);
  if (!path.ok()) return path.status();
  try {
    model::Dataset dataset =
        model::OpenDataset(*path, {.format = request.format, .categories = request.categories});
    // A list below the data root may name a folder outside it.
    if (!uploaded && !LiesIn(fs::canonical(options_.data_root), dataset.root)) {
      return Refuse(absl::StatusCode::kPermissionDenied, FieldOf(request), reason::kOutsideDataRoot,
                    absl::StrCat(Quote(request.path), " refers to files outside the data root"));
    }
    return OpenedDataset{*path, std::move(dataset)};
  } catch (...) {
    return OfDataset(StatusOfCurrentException(), FieldOf(request), *path, NameIn(request));
  }
}

absl::Status JobPlanner::PlanDataset(JobSpec& spec) const {
  const DatasetRequest request = {.path = spec.dataset_path,
                                  .id = spec.dataset_id,
                                  .format = spec.train.dataset_format,
                                  .categories = spec.train.categories};
  const absl::StatusOr<OpenedDataset> opened = OpenRequested(request);
  if (!opened.ok()) return opened.status();
  const model::Dataset& dataset = opened->dataset;
  spec.train.dataset = opened->path;
  try {
    model::CheckTrainable(dataset);
    spec.train.dataset_format = dataset.format;
    spec.train.categories = dataset.categories;
    model::LengthOf(spec.train.recipe, CountTrained(dataset, spec.train.validation_share));
  } catch (...) {
    const absl::Status status = StatusOfCurrentException();
    if (GetDetails(status).field.starts_with("overrides.")) return OfSpec(status);
    return OfDataset(status, FieldOf(request), opened->path, NameIn(request));
  }
  if (!spec.train.gate) return absl::OkStatus();
  return CheckGate(spec.train);
}

absl::StatusOr<fs::path> JobPlanner::Uploaded(const std::string& id) const {
  const absl::StatusOr<fs::path> path = datasets_.Open(id);
  if (!path.ok()) return path.status();
  std::error_code error;
  fs::path resolved = fs::canonical(*path, error);
  if (error) {
    return Refuse(absl::StatusCode::kNotFound, "spec.dataset_id", reason::kDatasetNotFound,
                  absl::StrCat("the uploaded dataset ", Quote(id),
                               " does not exist any more: ", error.message()));
  }
  return resolved;
}

absl::StatusOr<fs::path> JobPlanner::InDataRoot(const std::string& path) const {
  constexpr char kField[] = "spec.dataset_path";
  if (options_.data_root.empty()) {
    return Refuse(
        absl::StatusCode::kPermissionDenied, kField, reason::kNoDataRoot,
        "this server cannot read folders, since training.data_root is not set; upload the "
        "dataset and set dataset_id");
  }
  std::error_code error;
  const fs::path root = fs::canonical(options_.data_root, error);
  if (error) {
    return Refuse(absl::StatusCode::kFailedPrecondition, kField, reason::kDataRootMissing,
                  absl::StrCat("the server's data root cannot be read: ", error.message()));
  }
  if (path.find('\0') != std::string::npos || path.size() > kMaxDatasetPath) {
    return Refuse(absl::StatusCode::kInvalidArgument, kField, reason::kPathInvalid,
                  absl::StrCat(Quote(path), " is invalid; a path has at most ", kMaxDatasetPath,
                               " bytes and no NUL"));
  }
  // Resolves links as far as the path exists. A path outside the data root is refused before it is
  // looked up, so the answer does not reveal which files exist there.
  const fs::path wanted = fs::weakly_canonical(root / path, error);
  if (error || !LiesIn(root, wanted)) {
    return Refuse(absl::StatusCode::kPermissionDenied, kField, reason::kOutsideDataRoot,
                  absl::StrCat(Quote(path), " is outside the data root; give a path below it"));
  }
  if (!fs::exists(wanted, error)) {
    return Refuse(absl::StatusCode::kNotFound, kField, reason::kDatasetNotFound,
                  absl::StrCat("there is no ", Quote(path), " below the data root"));
  }
  return wanted;
}

absl::StatusOr<fs::path> JobPlanner::VersionDirectory(const std::string& model) const {
  const absl::StatusOr<ModelName> name = ModelName::Parse(model);
  if (!name.ok()) return name.status();
  std::string version = name->version;
  if (version.empty()) {
    const absl::StatusOr<std::vector<StoredModel>> models = models_.List();
    if (!models.ok()) return models.status();
    std::vector<std::string> known;
    for (const StoredModel& stored : *models) {
      known.push_back(stored.name);
      if (stored.name != name->name) continue;
      if (!stored.active.ok()) return stored.active.status();
      version = *stored.active;
    }
    if (version.empty()) {
      return absl::NotFoundError(
          absl::StrCat("there is no model ", Quote(name->name), "; there are: ", Enumerate(known)));
    }
  }
  return models_.Directory(name->name, version);
}

absl::Status JobPlanner::PlanStart(JobSpec& spec) const {
  model::TrainSpec& train = spec.train;
  std::string start_preset;
  if (!spec.init_from.empty()) {
    const absl::StatusOr<fs::path> directory = VersionDirectory(spec.init_from);
    if (!directory.ok()) {
      return Refuse(directory.status().code(), "spec.init_from", reason::kVersionNotFound,
                    std::string(directory.status().message()));
    }
    try {
      const model::Manifest manifest = model::ReadManifest(*directory);
      start_preset = manifest.config.preset;
      spec.init_from = absl::StrCat(manifest.name, "@", manifest.version);
    } catch (...) {
      const absl::Status status = StatusOfCurrentException();
      return Refuse(status.code(), "spec.init_from", reason::kArtifactCorrupt,
                    std::string(status.message()));
    }
    train.init_from = *directory;
  }
  if (train.preset.empty())
    train.preset = start_preset.empty() ? model::kDefaultPreset : start_preset;
  if (!start_preset.empty() && train.preset != start_preset) {
    return Refuse(absl::StatusCode::kInvalidArgument, "spec.init_from", reason::kInitFromMismatch,
                  absl::StrCat(spec.init_from, " has the preset ", start_preset,
                               ", but the job has the preset ", train.preset));
  }
  try {
    model::NetworkOf(train.preset, train.recipe);
  } catch (...) {
    return OfSpec(StatusOfCurrentException());
  }
  return absl::OkStatus();
}

absl::Status JobPlanner::PlanEncoder(JobSpec& spec) const {
  const bool own = spec.encoder.empty();
  if (own) spec.encoder = OwnEncoder(spec.train.preset);
  std::set<std::string> known;
  for (const fs::path& directory : options_.encoders) {
    std::error_code error;
    for (const char* ending : {".safetensors", ".pth"}) {
      const fs::path file = directory / (spec.encoder + ending);
      if (!fs::is_regular_file(file, error)) continue;
      spec.train.encoder_file = file;
      return absl::OkStatus();
    }
    for (const auto& entry : fs::directory_iterator(directory, error)) {
      const fs::path& file = entry.path();
      const bool weights = file.extension() == ".safetensors" || file.extension() == ".pth";
      // The installed weights have models too, named like their presets.
      if (weights && !absl::c_linear_search(model::PresetNames(), file.stem().string())) {
        known.insert(file.stem());
      }
    }
  }
  return Refuse(own ? absl::StatusCode::kInvalidArgument : absl::StatusCode::kNotFound,
                "spec.encoder", reason::kEncoderNotFound,
                absl::StrCat("this server has no encoder ", Quote(spec.encoder),
                             own ? absl::StrCat(", which ", spec.train.preset, " starts from") : "",
                             "; there are: ", Enumerate({known.begin(), known.end()})));
}

// Weights of another network, or trained on the features of another encoder, cannot be used.
absl::Status JobPlanner::CheckStart(const JobSpec& spec) const {
  if (spec.init_from.empty()) return absl::OkStatus();
  try {
    const model::Manifest start = model::ReadManifest(spec.train.init_from);
    model::ModelConfig config = model::NetworkOf(spec.train.preset, spec.train.recipe).config;
    // Both come from the encoder file.
    config.encoder.position_grid = start.config.encoder.position_grid;
    config.encoder.registers = start.config.encoder.registers;
    if (!config.SameNetwork(start.config)) {
      return Refuse(absl::StatusCode::kInvalidArgument, "spec.init_from", reason::kInitFromMismatch,
                    absl::StrCat(spec.init_from,
                                 " has another network than the job; use the recipe and overrides "
                                 "that it was trained with"));
    }
    if (start.encoder.sha256 != model::Sha256File(spec.train.encoder_file)) {
      return Refuse(
          absl::StatusCode::kInvalidArgument, "spec.init_from", reason::kInitFromMismatch,
          absl::StrCat(spec.init_from, " was trained on the encoder ", Quote(start.encoder.source),
                       ", but spec.encoder ", Quote(spec.encoder), " has other weights"));
    }
    return absl::OkStatus();
  } catch (...) {
    return StatusOfCurrentException();
  }
}

absl::Status JobPlanner::PlanDevice(JobSpec& spec) const {
  if (!IsDevice(spec.train.device)) {
    return Refuse(
        absl::StatusCode::kInvalidArgument, "spec.device", reason::kDeviceInvalid,
        absl::StrCat(Quote(spec.train.device), " is not a device; use auto, cpu, cuda or cuda:N"));
  }
  const std::string asked = spec.train.device;
  const absl::StatusOr<std::string> device = resolve_device_(asked);
  if (!device.ok()) {
    return Refuse(absl::StatusCode::kFailedPrecondition, "spec.device", reason::kDeviceUnavailable,
                  std::string(device.status().message()));
  }
  if (spec.train.recipe.precision == model::Precision::kTf32 && !device->starts_with("cuda")) {
    return Refuse(absl::StatusCode::kFailedPrecondition, "spec.overrides.precision",
                  reason::kPrecisionUnsupported,
                  absl::StrCat("tf32 needs a CUDA device, but the job would run on ", *device));
  }
  spec.train.device = *device;
  if (spec.train.world_size > 1 && device->starts_with("cuda")) return PlanGpus(asked, spec);
  return absl::OkStatus();
}

// Process N of several uses cuda:N.
absl::Status JobPlanner::PlanGpus(const std::string& asked, JobSpec& spec) const {
  if (asked.starts_with("cuda:")) {
    return Refuse(absl::StatusCode::kInvalidArgument, "spec.device", reason::kDeviceInvalid,
                  absl::StrCat("is ", asked, ", but world_size is ", spec.train.world_size,
                               " and each process uses a GPU of its own; use auto, cpu or cuda"));
  }
  const std::string last = absl::StrCat("cuda:", spec.train.world_size - 1);
  if (const auto device = resolve_device_(last); !device.ok()) {
    return Refuse(absl::StatusCode::kFailedPrecondition, "spec.world_size", reason::kTooFewGpus,
                  absl::StrCat("each of ", spec.train.world_size,
                               " processes uses a GPU of its own: ", device.status().message()));
  }
  spec.train.device = "cuda";
  return absl::OkStatus();
}

absl::Status JobPlanner::PlanComparison(JobSpec& spec) const {
  if (!spec.train.gate || !spec.train.gate->not_worse_than_active) return absl::OkStatus();
  const absl::StatusOr<fs::path> active = VersionDirectory(spec.train.model_name);
  if (active.ok()) spec.train.active_version = *active;
  return absl::IsNotFound(active.status()) ? absl::OkStatus() : active.status();
}

}  // namespace proad::server
