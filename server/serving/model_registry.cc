#include "server/serving/model_registry.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/serving/model_errors.h"
#include "server/telemetry/log.h"
#include "server/util/quote.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr absl::Duration kRetryWhileLoading = absl::Seconds(1);

std::string FullName(absl::string_view name, absl::string_view version) {
  return absl::StrCat(name, "@", version);
}

absl::Status NotFound(absl::string_view message) {
  return MakeError(absl::StatusCode::kNotFound, message,
                   {.reason = "MODEL_NOT_FOUND", .field = "model"});
}

absl::Status NoModelReady(absl::string_view message) {
  return MakeError(absl::StatusCode::kUnavailable, message,
                   {.reason = "NO_MODEL_READY", .retry_after = kRetryWhileLoading});
}

// The manifest of a version, which must be of the version that its directory says.
absl::StatusOr<model::Manifest> ReadManifest(const ModelStore& store, const std::string& name,
                                             const std::string& version) {
  const auto directory = store.Directory(name, version);
  if (!directory.ok()) return directory.status();
  try {
    model::Manifest manifest = model::ReadManifest(*directory);
    if (manifest.name != name || manifest.version != version) {
      return absl::DataLossError(absl::StrCat((*directory / model::kManifestFile).string(),
                                              ": is of ", FullName(manifest.name, manifest.version),
                                              ", not of ", FullName(name, version)));
    }
    return manifest;
  } catch (...) {
    return StatusOfCurrentException();
  }
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
    entry.manifest = ReadManifest(store_, name, version);
    if (!entry.manifest.ok()) {
      entry.state = ModelState::kFailed;
      entry.problem = entry.manifest.status();
    }
  }

  MutexLock lock(mutex_);
  std::map<std::string, Model> models;
  const auto in_memory = [](const Version& entry) {
    return entry.state == ModelState::kActive || entry.state == ModelState::kLoading;
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
  }
  models_ = std::move(models);
  if (default_.empty()) {
    std::vector<std::string> names;
    for (const auto& [name, model] : models_) {
      if (!model.versions.empty()) names.push_back(name);
    }
    if (names.size() == 1) default_ = names[0];
  }
  return absl::OkStatus();
}

void ModelRegistry::LoadActive(absl::FunctionRef<void()> changed) {
  std::vector<std::pair<std::string, std::string>> wanted;
  std::vector<std::pair<std::string, absl::Status>> without;
  std::string default_name;
  {
    MutexLock lock(mutex_);
    default_name = default_;
    for (auto& [name, model] : models_) {
      model.settled = true;
      if (model.active.ok()) {
        wanted.emplace_back(name, *model.active);
      } else {
        without.emplace_back(name, model.active.status());
      }
    }
  }
  for (const auto& [name, problem] : without) {
    // None may have been activated yet; a pointer to nothing is somebody's mistake.
    Log(absl::IsNotFound(problem) ? LogLevel::kInfo : LogLevel::kError,
        "model has no active version", {{"model", name}, {"reason", problem}});
  }
  std::stable_partition(wanted.begin(), wanted.end(),
                        [&](const auto& entry) { return entry.first == default_name; });
  for (const auto& [name, version] : wanted) {
    {
      MutexLock lock(mutex_);
      if (stopped_) return;
    }
    Load(name, version);
    changed();
  }
  {
    MutexLock lock(mutex_);
    loading_ended_ = true;
  }
  changed();
}

void ModelRegistry::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  load_turn_over_.NotifyAll();
}

class ModelRegistry::LoadTurn {
 public:
  explicit LoadTurn(ModelRegistry& registry) : registry_(registry) {
    MutexLock lock(registry_.mutex_);
    while (registry_.load_turn_taken_ && !registry_.stopped_) {
      registry_.load_turn_over_.Wait(registry_.mutex_);
    }
    taken_ = !registry_.stopped_;
    if (taken_) registry_.load_turn_taken_ = true;
  }
  ~LoadTurn() {
    if (!taken_) return;
    {
      MutexLock lock(registry_.mutex_);
      registry_.load_turn_taken_ = false;
    }
    registry_.load_turn_over_.NotifyAll();
  }
  LoadTurn(const LoadTurn&) = delete;
  LoadTurn& operator=(const LoadTurn&) = delete;

  // False once the registry is stopped: nothing may be loaded any more.
  bool taken() const { return taken_; }

 private:
  ModelRegistry& registry_;
  bool taken_ = false;
};

void ModelRegistry::Load(const std::string& name, const std::string& version) {
  const LoadTurn turn(*this);
  if (!turn.taken()) return;
  absl::Status damaged;  // what the scan found
  {
    MutexLock lock(mutex_);
    Model& model = models_[name];
    // Somebody may have activated another one while this waited.
    if (!model.active.ok() || *model.active != version) return;
    Version& entry = model.versions[version];
    if (entry.state == ModelState::kActive) return;
    damaged = entry.problem;
    if (entry.state == ModelState::kStored) entry.state = ModelState::kLoading;
  }
  if (!damaged.ok()) {
    Log(LogLevel::kError, "model failed to load",
        {{"model", name}, {"version", version}, {"reason", damaged}});
    return;
  }
  const absl::Time start = absl::Now();
  const absl::StatusOr<ModelHandle> loaded = LoadChecked(name, version);
  const absl::Duration took = absl::Now() - start;
  if (loaded.ok()) {
    const model::Manifest& manifest = (*loaded)->manifest();
    metrics_.model_load_seconds.Observe(absl::ToDoubleSeconds(took));
    metrics_.SetModelInfo(name, version, manifest.hash);
    Log(LogLevel::kInfo, "model active",
        {{"model", name}, {"version", version}, {"hash", manifest.hash}, {"took", took}});
  }

  MutexLock lock(mutex_);
  Version& entry = models_[name].versions[version];
  if (loaded.ok()) {
    entry.state = ModelState::kActive;
    entry.handle = *loaded;
    entry.activated = absl::Now();
  } else {
    entry.state = ModelState::kFailed;
    entry.problem = loaded.status();
  }
}

absl::StatusOr<ModelSwap> ModelRegistry::Activate(
    const std::string& name, const std::string& version,
    const std::optional<std::string>& expected_active) {
  const absl::Time start = absl::Now();
  const LoadTurn turn(*this);
  if (!turn.taken()) {
    return MakeError(absl::StatusCode::kUnavailable, "the server is shutting down; try another",
                     {.reason = "DRAINING", .retry_after = absl::ZeroDuration()});
  }
  if (const absl::Status scanned = Scan(); !scanned.ok()) return scanned;
  ModelHandle serving;
  {
    MutexLock lock(mutex_);
    const absl::Status allowed = CheckActivation(name, version, expected_active);
    if (!allowed.ok()) return allowed;
    const Version& entry = models_.at(name).versions.at(version);
    if (entry.state == ModelState::kActive) serving = entry.handle;
  }
  if (serving != nullptr) {
    // It may have served only because it was the newest.
    if (absl::Status pinned = store_.SetActive(name, version); !pinned.ok()) return pinned;
    const std::string& hash = serving->manifest().hash;
    return ModelSwap{.version = version,
                     .hash = hash,
                     .previous = version,
                     .previous_hash = hash,
                     .took = absl::Now() - start};
  }
  absl::StatusOr<ModelHandle> loaded = Prepare(name, version);
  if (!loaded.ok()) {
    metrics_.model_swaps.failed.Increment();
    return loaded.status();
  }
  ModelSwap swap = SwapIn(name, version, *std::move(loaded));
  swap.took = absl::Now() - start;
  metrics_.model_swaps.ok.Increment();
  Log(LogLevel::kInfo, "model active",
      {{"model", name},
       {"version", version},
       {"previous", swap.previous},
       {"hash", swap.hash},
       {"took", swap.took}});
  return swap;
}

absl::Status ModelRegistry::CheckActivation(
    const std::string& name, const std::string& version,
    const std::optional<std::string>& expected_active) const {
  if (const auto found = Resolve({.name = name, .version = version}); !found.ok()) {
    return found.status();
  }
  const absl::StatusOr<std::string>& active = models_.at(name).active;
  if (!expected_active || *expected_active == active.value_or("")) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kAborted,
      absl::StrCat("expected_active_version: ",
                   expected_active->empty() ? absl::StrCat("no version of ", name)
                                            : FullName(name, Quote(*expected_active)),
                   " is not what is active; ",
                   active.ok() ? FullName(name, *active) : absl::StrCat("no version of ", name),
                   " is"),
      {.reason = "ACTIVE_VERSION_CHANGED",
       .field = "expected_active_version",
       .metadata = {{"active_version", active.value_or("")}}});
}

absl::StatusOr<ModelHandle> ModelRegistry::Prepare(const std::string& name,
                                                   const std::string& version) {
  // What was damaged when it was last looked at may have been repaired.
  absl::StatusOr<model::Manifest> manifest = ReadManifest(store_, name, version);
  {
    MutexLock lock(mutex_);
    Version& entry = models_[name].versions[version];
    entry.state = ModelState::kLoading;
    entry.problem = absl::OkStatus();
  }
  const absl::Time start = absl::Now();
  absl::StatusOr<ModelHandle> loaded =
      manifest.ok() ? LoadChecked(name, version) : absl::StatusOr<ModelHandle>(manifest.status());
  absl::Status written;
  if (loaded.ok()) {
    metrics_.model_load_seconds.Observe(absl::ToDoubleSeconds(absl::Now() - start));
    written = store_.SetActive(name, version);
  }
  MutexLock lock(mutex_);
  Version& entry = models_[name].versions[version];
  entry.manifest = std::move(manifest);
  if (!loaded.ok()) {
    entry.state = ModelState::kFailed;
    entry.problem = loaded.status();
  } else if (!written.ok()) {
    entry.state = ModelState::kStored;
    return written;
  }
  return loaded;
}

ModelSwap ModelRegistry::SwapIn(const std::string& name, const std::string& version,
                                ModelHandle loaded) {
  const model::Manifest& manifest = loaded->manifest();
  ModelSwap swap{.version = version, .hash = manifest.hash, .probe_score = loaded->probe_score()};
  if (swap.probe_score && manifest.probe) swap.expected_score = manifest.probe->score;
  metrics_.SetModelInfo(name, version, swap.hash);
  ModelHandle previous;  // let go outside the lock: it may be the last one
  {
    MutexLock lock(mutex_);
    Model& model = models_[name];
    if (model.active.ok() && *model.active != version) {
      Version& old = model.versions[*model.active];
      previous = std::move(old.handle);
      if (old.state == ModelState::kActive) {
        old.state = ModelState::kStored;
        swap.previous = *model.active;
      }
    }
    Version& entry = model.versions[version];
    entry.state = ModelState::kActive;
    entry.problem = absl::OkStatus();
    entry.handle = std::move(loaded);
    entry.activated = absl::Now();
    model.active = version;
    model.settled = true;
  }
  if (previous != nullptr) {
    swap.previous_hash = previous->manifest().hash;
    metrics_.ClearModelInfo(name, swap.previous, swap.previous_hash);
  }
  return swap;
}

absl::StatusOr<ModelHandle> ModelRegistry::LoadChecked(const std::string& name,
                                                       const std::string& version) {
  const auto directory = store_.Directory(name, version);
  absl::StatusOr<ModelHandle> loaded =
      directory.ok() ? loader_(*directory) : absl::StatusOr<ModelHandle>(directory.status());
  if (!loaded.ok()) {
    Log(LogLevel::kError, "model failed to load",
        {{"model", name}, {"version", version}, {"reason", loaded.status()}});
  }
  return loaded;
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
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   absl::StrCat(full_name,
                                " is in the store but not in memory: it is not the active "
                                "version of its name"),
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
  return listed;
}

}  // namespace proad::server
