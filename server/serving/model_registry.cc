#include "server/serving/model_registry.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/util/quote.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr absl::Duration kRetryWhileLoading = absl::Seconds(1);

absl::Status NotFound(absl::string_view message) {
  return MakeError(absl::StatusCode::kNotFound, message,
                   {.reason = "MODEL_NOT_FOUND", .field = "model"});
}

absl::Status NoModelReady(absl::string_view message) {
  return MakeError(absl::StatusCode::kUnavailable, message,
                   {.reason = "NO_MODEL_READY", .retry_after = kRetryWhileLoading});
}

}  // namespace

absl::StatusOr<ModelName> ModelName::Parse(absl::string_view text) {
  const size_t at = text.find('@');
  ModelName parsed;
  parsed.name = std::string(text.substr(0, at));
  if (at != absl::string_view::npos) parsed.version = std::string(text.substr(at + 1));
  if (!model::IsValidName(parsed.name) ||
      (at != absl::string_view::npos && !model::IsValidName(parsed.version))) {
    return MakeError(
        absl::StatusCode::kInvalidArgument,
        absl::StrCat("model: ", Quote(text),
                     " is no model; expected \"name\" or \"name@version\", each 1 to 64 of "
                     "a-z, 0-9, '.', '_' and '-', the first a letter or digit"),
        {.reason = "MODEL_NAME_INVALID", .field = "model"});
  }
  return parsed;
}

ModelRegistry::ModelRegistry(const Options& options, const ModelStore& store, ModelLoader loader,
                             Metrics& metrics)
    : options_(options),
      store_(store),
      loader_(std::move(loader)),
      metrics_(metrics),
      default_(options.default_model) {}

absl::Status ModelRegistry::Scan() {
  if (const absl::Status merged = MergeStored(); !merged.ok()) return merged;
  RefreshRecalibrations();
  return absl::OkStatus();
}

absl::Status ModelRegistry::MergeStored() {
  const absl::StatusOr<std::vector<StoredModel>> stored = store_.List();
  if (!stored.ok()) return stored.status();

  // Read without the lock what is not known yet: requests must not wait for the disk.
  std::vector<std::pair<std::string, std::string>> unknown;
  {
    MutexLock lock(mutex_);
    for (const StoredModel& model : *stored) {
      const auto known = models_.find(model.name);
      for (const std::string& version : model.versions) {
        if (known == models_.end() || !known->second.versions.contains(version)) {
          unknown.emplace_back(model.name, version);
        }
      }
    }
  }
  std::map<std::pair<std::string, std::string>, Version> read;
  for (const auto& [name, version] : unknown) {
    Version& entry = read[{name, version}];
    entry.manifest = store_.ReadManifest(name, version);
    if (!entry.manifest.ok()) {
      entry.state = ModelState::kFailed;
      entry.problem = entry.manifest.status();
    }
  }

  MutexLock lock(mutex_);
  std::map<std::string, Model> models;
  const auto in_memory = [](const Version& entry) {
    return entry.handle != nullptr || entry.state == ModelState::kLoading;
  };
  for (const StoredModel& model : *stored) {
    Model& merged = models[model.name];
    merged.active = model.active;
    for (const std::string& version : model.versions) {
      Version& entry = merged.versions[version];
      if (const auto found = read.find({model.name, version}); found != read.end()) {
        entry = std::move(found->second);
      }
    }
  }
  for (auto& [name, model] : models_) {
    for (auto& [version, entry] : model.versions) {
      const auto kept = models.find(name);
      const bool stored_still = kept != models.end() && kept->second.versions.contains(version);
      if (stored_still || in_memory(entry)) models[name].versions[version] = std::move(entry);
    }
    // What serves a name changes by loading, not by looking.
    if (const auto kept = models.find(name); kept != models.end() && model.settled) {
      kept->second.active = std::move(model.active);
      kept->second.settled = true;
    }
    if (const auto kept = models.find(name); kept != models.end()) {
      kept->second.failure = std::move(model.failure);
    }
  }
  models_ = std::move(models);
  PickDefault();
  return absl::OkStatus();
}

void ModelRegistry::PickDefault() {
  if (default_.empty()) {
    std::vector<std::string> names;
    for (const auto& [name, model] : models_) {
      if (!model.versions.empty()) names.push_back(name);
    }
    if (names.size() == 1) default_ = names[0];
  }
}

absl::StatusOr<ModelHandle> ModelRegistry::Acquire(absl::string_view model) const {
  if (model.empty()) {
    MutexLock lock(mutex_);
    return AcquireDefault();
  }
  const absl::StatusOr<ModelName> wanted = ModelName::Parse(model);
  if (!wanted.ok()) return wanted.status();
  MutexLock lock(mutex_);
  const auto resolved = Resolve(*wanted);
  if (!resolved.ok()) return resolved.status();
  const auto& [name, version] = *resolved;
  const Version& entry = models_.at(name).versions.at(version);
  const std::string full_name = FullName(name, version);
  switch (entry.state) {
    case ModelState::kLoaded:
    case ModelState::kActive:
      return entry.handle;
    case ModelState::kLoading:
      return MakeError(absl::StatusCode::kUnavailable,
                       absl::StrCat(full_name, " is being loaded; try again in a moment"),
                       {.reason = "MODEL_LOADING", .retry_after = kRetryWhileLoading});
    case ModelState::kFailed:
      return MakeError(absl::StatusCode::kFailedPrecondition,
                       absl::StrCat(full_name, " could not be loaded: ", entry.problem.message()),
                       {.reason = "MODEL_FAILED", .field = "model"});
    case ModelState::kStored:
      break;
  }
  return MakeError(
      absl::StatusCode::kFailedPrecondition,
      absl::StrCat(full_name, " is in the store but not in memory; load it with LoadModel"),
      {.reason = "MODEL_NOT_LOADED", .field = "model"});
}

absl::StatusOr<ModelHandle> ModelRegistry::AcquireDefault() const {
  if (default_.empty()) {
    if (models_.empty()) return NoModelReady("no model is ready: the model store is empty");
    std::vector<std::string> names;
    for (const auto& [name, model] : models_) names.push_back(name);
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("model: the server has no default model, so a request must name "
                                  "one of: ",
                                  Enumerate(names)),
                     {.reason = "MODEL_REQUIRED", .field = "model"});
  }
  const auto resolved = Resolve({.name = default_, .version = ""});
  if (!resolved.ok()) {
    return NoModelReady(
        absl::StrCat("the default model is not ready: ", resolved.status().message()));
  }
  const Version& entry = models_.at(resolved->first).versions.at(resolved->second);
  if (entry.state == ModelState::kActive) return entry.handle;
  return NoModelReady(absl::StrCat(
      "the default model ", FullName(resolved->first, resolved->second),
      entry.state == ModelState::kFailed
          ? absl::StrCat(" could not be loaded: ", std::string(entry.problem.message()))
          : " is being loaded; try again in a moment"));
}

absl::StatusOr<std::pair<std::string, std::string>> ModelRegistry::Resolve(
    const ModelName& wanted) const {
  const auto model = models_.find(wanted.name);
  if (model == models_.end()) {
    std::vector<std::string> names;
    for (const auto& [name, unused] : models_) names.push_back(name);
    return NotFound(
        absl::StrCat("no model ", Quote(wanted.name), "; there are: ", Enumerate(names)));
  }
  if (wanted.version.empty()) {
    if (!model->second.active.ok()) {
      return NotFound(absl::StrCat("model ", Quote(wanted.name), " has no active version: ",
                                   model->second.active.status().message()));
    }
    return std::make_pair(wanted.name, *model->second.active);
  }
  if (!model->second.versions.contains(wanted.version)) {
    return NotFound(absl::StrCat("model ", Quote(wanted.name), " has no version ",
                                 Quote(wanted.version),
                                 "; there are: ", Enumerate(NewestFirst(model->second))));
  }
  return std::make_pair(wanted.name, wanted.version);
}

bool ModelRegistry::Ready() const {
  MutexLock lock(mutex_);
  if (!default_.empty()) return AcquireDefault().ok();
  if (!loading_ended_) return false;
  for (const auto& [name, model] : models_) {
    for (const auto& [version, entry] : model.versions) {
      if (entry.state == ModelState::kActive) return true;
    }
  }
  return false;
}

uint64_t ModelRegistry::memory_bytes() const {
  uint64_t bytes = 0;
  MutexLock lock(mutex_);
  for (const auto& [name, model] : models_) {
    for (const auto& [version, entry] : model.versions) {
      if (entry.handle != nullptr) bytes += entry.handle->memory_bytes();
    }
  }
  return bytes;
}

absl::StatusOr<std::vector<ListedVersion>> ModelRegistry::List() {
  if (const absl::Status scanned = Scan(); !scanned.ok()) return scanned;
  MutexLock lock(mutex_);
  std::vector<ListedVersion> listed;
  for (const auto& [name, model] : models_) {
    for (const std::string& version : NewestFirst(model)) {
      listed.push_back(Listed(name, version, model.versions.at(version)));
    }
  }
  return listed;
}

absl::StatusOr<ListedVersion> ModelRegistry::Find(absl::string_view model) {
  if (const absl::Status scanned = Scan(); !scanned.ok()) return scanned;
  MutexLock lock(mutex_);
  ModelName wanted{.name = default_, .version = ""};
  if (!model.empty()) {
    absl::StatusOr<ModelName> parsed = ModelName::Parse(model);
    if (!parsed.ok()) return parsed.status();
    wanted = *std::move(parsed);
  } else if (default_.empty()) {
    return AcquireDefault().status();
  }
  const auto resolved = Resolve(wanted);
  if (!resolved.ok()) return resolved.status();
  const auto& [name, version] = *resolved;
  return Listed(name, version, models_.at(name).versions.at(version));
}

std::vector<std::string> ModelRegistry::NewestFirst(const Model& model) {
  std::vector<std::string> versions;
  for (const auto& [version, entry] : model.versions) versions.push_back(version);
  std::sort(versions.begin(), versions.end(),
            [](const auto& a, const auto& b) { return VersionLess(b, a); });
  return versions;
}

ListedVersion ModelRegistry::Listed(const std::string& name, const std::string& version,
                                    const Version& entry) const {
  const Model& model = models_.at(name);
  ListedVersion listed;
  listed.name = name;
  listed.version = version;
  listed.state = entry.state;
  listed.problem = entry.problem;
  listed.is_default = name == default_ && model.active.ok() && *model.active == version;
  if (entry.manifest.ok()) listed.manifest = *entry.manifest;
  listed.activated = entry.activated;
  listed.recalibrated = entry.recalibrated.value_or(nullptr);
  if (entry.handle != nullptr) listed.memory_bytes = entry.handle->memory_bytes();
  return listed;
}

}  // namespace proad::server
