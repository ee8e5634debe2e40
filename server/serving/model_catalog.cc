#include "server/serving/model_catalog.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr absl::Duration kRetryWhileLoading = absl::Seconds(1);

absl::Status NoModelReady(absl::string_view message) {
  return MakeError(absl::StatusCode::kUnavailable, message,
                   {.reason = reason::kNoModelReady, .retry_after = kRetryWhileLoading});
}

// The error for a model of which no version was ever activated.
absl::Status NotActivated(absl::string_view name, absl::string_view version) {
  return MakeError(absl::StatusCode::kNotFound,
                   absl::StrCat("model ", Quote(name), " has no active version; ",
                                FullName(name, version), " is in memory but was not activated"),
                   {.reason = reason::kModelNotFound, .field = "model"});
}

// The error for an active version that neither the store nor the memory has any more.
absl::Status VersionLost(absl::string_view name, absl::string_view version) {
  return MakeError(absl::StatusCode::kNotFound,
                   absl::StrCat(FullName(name, version), " is not in the store any more"),
                   {.reason = reason::kModelNotFound, .field = "model"});
}

// The error of a request for a version that is not in memory.
absl::Status NotInMemory(absl::string_view full_name, ModelState state,
                         const absl::Status& problem) {
  if (state == ModelState::kLoading) {
    return MakeError(absl::StatusCode::kUnavailable,
                     absl::StrCat(full_name, " is being loaded; try again in a moment"),
                     {.reason = reason::kModelLoading, .retry_after = kRetryWhileLoading});
  }
  if (state == ModelState::kFailed) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat(full_name, " could not be loaded: ", problem.message()),
                     {.reason = reason::kModelFailed, .field = "model"});
  }
  return MakeError(
      absl::StatusCode::kFailedPrecondition,
      absl::StrCat(full_name, " is in the store but not in memory; load it with LoadModel"),
      {.reason = reason::kModelNotLoaded, .field = "model"});
}

}  // namespace

absl::Status VersionInUse(absl::string_view name, absl::string_view version, ModelState state) {
  const bool active = state == ModelState::kActive;
  return MakeError(
      absl::StatusCode::kFailedPrecondition,
      absl::StrCat("model: ", FullName(name, version),
                   active ? " is the active version of its name; activate another one first"
                          : " is in memory; unload it first"),
      {.reason = active ? reason::kModelActive : reason::kModelLoaded, .field = "model"});
}

ModelCatalog::ModelCatalog(std::string default_model) : default_(std::move(default_model)) {}

absl::StatusOr<ModelHandle> ModelCatalog::Acquire(absl::string_view model) const {
  if (model.empty()) {
    MutexLock lock(mutex_);
    return AcquireDefault();
  }
  const absl::StatusOr<ModelName> wanted = ModelName::Parse(model);
  if (!wanted.ok()) return wanted.status();
  MutexLock lock(mutex_);
  const auto resolved = table_.Resolve(*wanted);
  if (!resolved.ok()) return resolved.status();
  const auto& [name, version] = *resolved;
  const ModelTable::Version* entry = table_.Find(name, version);
  if (entry == nullptr) return VersionLost(name, version);
  if (entry->handle != nullptr) {
    // A version that LoadModel loaded does not answer the name before it is activated.
    const bool serves = !wanted->version.empty() || entry->state == ModelState::kActive ||
                        table_.models.at(name).decided;
    return serves ? absl::StatusOr<ModelHandle>(entry->handle) : NotActivated(name, version);
  }
  return NotInMemory(FullName(name, version), entry->state, entry->problem);
}

absl::StatusOr<ModelHandle> ModelCatalog::AcquireDefault() const {
  if (default_.empty()) {
    if (table_.models.empty()) return NoModelReady("no model is ready: the model store is empty");
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("model: the server has no default model, so a request must name "
                                  "one of: ",
                                  Enumerate(table_.Names())),
                     {.reason = reason::kModelRequired, .field = "model"});
  }
  const auto resolved = table_.Resolve({.name = default_, .version = ""});
  if (!resolved.ok()) {
    return NoModelReady(
        absl::StrCat("the default model is not ready: ", resolved.status().message()));
  }
  const auto& [name, version] = *resolved;
  const ModelTable::Version* entry = table_.Find(name, version);
  if (entry != nullptr && entry->state == ModelState::kActive) return entry->handle;
  return NoModelReady(
      absl::StrCat("the default model ", FullName(name, version),
                   entry != nullptr && entry->state == ModelState::kFailed
                       ? absl::StrCat(" could not be loaded: ", entry->problem.message())
                       : " is being loaded; try again in a moment"));
}

RecalibrationsInForce ModelCatalog::InForce(const ServableModel& model) const {
  const model::Manifest& manifest = model.manifest();
  MutexLock lock(mutex_);
  const ModelTable::Version* entry = table_.Find(manifest.name, manifest.version);
  return entry == nullptr ? nullptr : entry->recalibrated.value_or(nullptr);
}

bool ModelCatalog::Ready() const {
  MutexLock lock(mutex_);
  if (!default_.empty()) return AcquireDefault().ok();
  if (!started_) return false;
  for (const auto& [name, model] : table_.models) {
    for (const auto& [version, entry] : model.versions) {
      if (entry.state == ModelState::kActive) return true;
    }
  }
  return false;
}

uint64_t ModelCatalog::memory_bytes() const {
  uint64_t bytes = 0;
  MutexLock lock(mutex_);
  for (const auto& [name, model] : table_.models) {
    for (const auto& [version, entry] : model.versions) bytes += entry.memory_bytes;
  }
  return bytes;
}

std::vector<ListedVersion> ModelCatalog::List() const {
  MutexLock lock(mutex_);
  std::vector<ListedVersion> listed;
  for (const auto& [name, model] : table_.models) {
    for (const std::string& version : model.NewestFirst()) {
      listed.push_back(Listed(name, version, model.versions.at(version)));
    }
  }
  return listed;
}

absl::StatusOr<ListedVersion> ModelCatalog::Find(absl::string_view model) const {
  MutexLock lock(mutex_);
  ModelName wanted{.name = default_, .version = ""};
  if (!model.empty()) {
    absl::StatusOr<ModelName> parsed = ModelName::Parse(model);
    if (!parsed.ok()) return parsed.status();
    wanted = *std::move(parsed);
  } else if (default_.empty()) {
    return AcquireDefault().status();
  }
  const auto resolved = table_.Resolve(wanted);
  if (!resolved.ok()) return resolved.status();
  const auto& [name, version] = *resolved;
  const ModelTable::Version* entry = table_.Find(name, version);
  if (entry == nullptr) return VersionLost(name, version);
  return Listed(name, version, *entry);
}

absl::Status ModelCatalog::CheckKnown(const std::string& name, const std::string& version) const {
  MutexLock lock(mutex_);
  return table_.Resolve({.name = name, .version = version}).status();
}

bool ModelCatalog::Knows(const std::string& name) const {
  MutexLock lock(mutex_);
  return table_.models.contains(name);
}

absl::StatusOr<std::string> ModelCatalog::Active(const std::string& name) const {
  MutexLock lock(mutex_);
  const auto model = table_.models.find(name);
  if (model == table_.models.end()) return absl::NotFoundError(absl::StrCat("no model ", name));
  if (starting_ && !model->second.decided) {
    return absl::NotFoundError(absl::StrCat("no version of ", name, " was activated"));
  }
  return model->second.active;
}

std::optional<std::pair<std::string, ModelHandle>> ModelCatalog::Serving(
    const std::string& name) const {
  MutexLock lock(mutex_);
  const auto model = table_.models.find(name);
  if (model == table_.models.end()) return std::nullopt;
  for (const auto& [version, entry] : model->second.versions) {
    if (entry.state == ModelState::kActive) return std::make_pair(version, entry.handle);
  }
  return std::nullopt;
}

absl::StatusOr<RecalibrationsInForce> ModelCatalog::Thresholds(const std::string& name,
                                                               const std::string& version) const {
  MutexLock lock(mutex_);
  const ModelTable::Version* entry = table_.Find(name, version);
  if (entry == nullptr) return nullptr;
  return entry->recalibrated;
}

std::vector<KnownVersion> ModelCatalog::Known() const {
  MutexLock lock(mutex_);
  std::vector<KnownVersion> known;
  for (const auto& [name, model] : table_.models) {
    for (const auto& [version, entry] : model.versions) {
      known.push_back({name, version, entry.hash(), entry.manifest_stamp, entry.thresholds_stamp});
    }
  }
  return known;
}

std::vector<ReplacedInStore> ModelCatalog::Update(const std::vector<StoredModel>& stored,
                                                  ReadManifests read) {
  MutexLock lock(mutex_);
  std::vector<ReplacedInStore> replaced = table_.Merge(stored, std::move(read));
  for (const ReplacedInStore& version : replaced) active_replaced_ += version.active ? 1 : 0;
  PickDefault();
  return replaced;
}

uint64_t ModelCatalog::active_replaced() const {
  MutexLock lock(mutex_);
  return active_replaced_;
}

void ModelCatalog::PickDefault() {
  if (!default_.empty()) return;
  std::vector<std::string> names;
  for (const auto& [name, model] : table_.models) {
    if (!model.versions.empty()) names.push_back(name);
  }
  if (names.size() == 1) default_ = names[0];
}

void ModelCatalog::SetThresholds(const KnownVersion& known, const std::optional<FileStamp>& read_as,
                                 absl::StatusOr<Recalibrations> read) {
  MutexLock lock(mutex_);
  const auto model = table_.models.find(known.name);
  if (model == table_.models.end()) return;
  const auto found = model->second.versions.find(known.version);
  if (found == model->second.versions.end()) return;
  ModelTable::Version& entry = found->second;
  if (entry.thresholds_stamp != known.thresholds_stamp) return;
  entry.thresholds_stamp = read_as;
  if (read.ok()) {
    entry.recalibrated = std::make_shared<const Recalibrations>(*std::move(read));
  } else if (entry.handle == nullptr) {
    entry.recalibrated = read.status();
  }
}

std::optional<LoadedVersion> ModelCatalog::BeginLoad(const std::string& name,
                                                     const std::string& version) {
  MutexLock lock(mutex_);
  ModelTable::Version& entry = table_.models[name].versions[version];
  if (entry.handle != nullptr) {
    return LoadedVersion{.handle = entry.handle, .state = entry.state, .took = std::nullopt};
  }
  entry.state = ModelState::kLoading;
  entry.problem = absl::OkStatus();
  return std::nullopt;
}

void ModelCatalog::EndLoad(const std::string& name, const std::string& version,
                           absl::StatusOr<model::Manifest> manifest,
                           const absl::StatusOr<ModelHandle>& loaded) {
  const uint64_t memory_bytes = loaded.ok() ? (*loaded)->memory_bytes() : 0;
  MutexLock lock(mutex_);
  ModelTable::Version& entry = table_.models[name].versions[version];
  entry.manifest = std::move(manifest);
  if (!loaded.ok()) {
    entry.state = ModelState::kFailed;
    entry.problem = loaded.status();
    return;
  }
  entry.state = ModelState::kLoaded;
  entry.handle = *loaded;
  entry.memory_bytes = memory_bytes;
}

std::optional<ModelCatalog::Evicted> ModelCatalog::EvictLeastRecent() {
  MutexLock lock(mutex_);
  ModelTable::Version* least_recent = nullptr;
  std::string full_name;
  for (auto& [name, model] : table_.models) {
    for (auto& [version, entry] : model.versions) {
      if (entry.state != ModelState::kLoaded || entry.keep) continue;
      if (least_recent != nullptr && least_recent->activated <= entry.activated) continue;
      least_recent = &entry;
      full_name = FullName(name, version);
    }
  }
  if (least_recent == nullptr) return std::nullopt;
  return Evicted{.full_name = full_name, .handle = least_recent->TakeHandle()};
}

absl::StatusOr<ModelCatalog::Promotion> ModelCatalog::Promote(const std::string& name,
                                                              const std::string& version,
                                                              const ModelHandle& loaded) {
  Promotion promotion;
  MutexLock lock(mutex_);
  ModelTable::Model& model = table_.models[name];
  if (const auto found = model.versions.find(version);
      found == model.versions.end() || found->second.handle != loaded) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition,
        absl::StrCat(FullName(name, version), " was replaced in the store during its activation"),
        {.reason = reason::kVersionReplaced, .field = "model"});
  }
  for (auto& [other, entry] : model.versions) {
    if (entry.state == ModelState::kActive) {
      entry.state = ModelState::kLoaded;
      promotion.previous = other;
      promotion.previous_hash = entry.hash();
    } else if (entry.state == ModelState::kLoaded && !entry.keep && other != version) {
      promotion.released.push_back(entry.TakeHandle());
    }
  }
  ModelTable::Version& entry = model.versions[version];
  entry.state = ModelState::kActive;
  entry.activated = absl::Now();
  model.active = version;
  model.decided = true;
  return promotion;
}

void ModelCatalog::KeepInMemory(const std::string& name, const std::string& version) {
  MutexLock lock(mutex_);
  table_.models[name].versions[version].keep = true;
}

absl::StatusOr<ModelCatalog::Released> ModelCatalog::Release(const std::string& name,
                                                             const std::string& version) {
  MutexLock lock(mutex_);
  ModelTable::Version& entry = table_.models[name].versions[version];
  if (entry.state == ModelState::kActive) return VersionInUse(name, version, entry.state);
  return Released{.hash = entry.hash(), .handle = entry.TakeHandle()};
}

absl::StatusOr<std::string> ModelCatalog::CheckUnused(const std::string& name,
                                                      const std::string& version) const {
  MutexLock lock(mutex_);
  const ModelTable::Version* entry = table_.Find(name, version);
  if (entry == nullptr) return "";
  if (entry->handle != nullptr) return VersionInUse(name, version, entry->state);
  return entry->hash();
}

void ModelCatalog::Forget(const std::string& name, const std::string& version) {
  MutexLock lock(mutex_);
  table_.models[name].versions.erase(version);
}

std::vector<ModelCatalog::StartingModel> ModelCatalog::BeginStart() {
  MutexLock lock(mutex_);
  starting_ = true;
  std::vector<StartingModel> starting;
  for (auto& [name, model] : table_.models) {
    model.decided = true;
    starting.push_back({name, model.active});
  }
  std::stable_partition(
      starting.begin(), starting.end(),
      [default_name = default_](const StartingModel& model) { return model.name == default_name; });
  return starting;
}

void ModelCatalog::EndStart() {
  MutexLock lock(mutex_);
  started_ = true;
}

bool ModelCatalog::started() const {
  MutexLock lock(mutex_);
  return started_;
}

ListedVersion ModelCatalog::Listed(const std::string& name, const std::string& version,
                                   const ModelTable::Version& entry) const {
  const ModelTable::Model& model = table_.models.at(name);
  ListedVersion listed;
  listed.name = name;
  listed.version = version;
  listed.state = entry.state;
  listed.problem = entry.problem;
  listed.is_default = name == default_ && model.active.ok() && *model.active == version;
  if (entry.manifest.ok()) listed.manifest = *entry.manifest;
  listed.activated = entry.activated;
  listed.recalibrated = entry.recalibrated.value_or(nullptr);
  listed.memory_bytes = entry.memory_bytes;
  return listed;
}

}  // namespace proad::server
