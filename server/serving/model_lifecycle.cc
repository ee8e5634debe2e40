#include <algorithm>
#include <filesystem>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/serving/load_turn.h"
#include "server/serving/model_registry.h"
#include "server/telemetry/log.h"
#include "server/util/quote.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

// Of what a version takes in the store, at the height of its loading.
constexpr uint64_t kMemoryForStored = 3;

// Why a version cannot go.
absl::Status InUse(absl::string_view name, absl::string_view version, ModelState state) {
  const bool active = state == ModelState::kActive;
  return MakeError(
      absl::StatusCode::kFailedPrecondition,
      absl::StrCat("model: ", FullName(name, version),
                   active ? " is the active version of its name; activate another one first"
                          : " is in memory; unload it first"),
      {.reason = active ? "MODEL_ACTIVE" : "MODEL_LOADED", .field = "model"});
}

// What loading takes at its height: the network as it was stored, and the one that serves.
uint64_t MemoryToLoad(const model::Manifest& manifest) {
  uint64_t stored = 0;
  for (const auto& [file, digest] : manifest.files) stored += static_cast<uint64_t>(digest.bytes);
  return kMemoryForStored * stored;
}

}  // namespace

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
    LoadAtStart(name, version);
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

absl::Status ModelRegistry::BeginChange(const LoadTurn& turn, const std::string& name,
                                        const std::string& version) {
  if (!turn.taken()) {
    return MakeError(absl::StatusCode::kUnavailable, "the server is shutting down; try another",
                     {.reason = "DRAINING", .retry_after = absl::ZeroDuration()});
  }
  if (const absl::Status scanned = Scan(); !scanned.ok()) return scanned;
  MutexLock lock(mutex_);
  return Resolve({.name = name, .version = version}).status();
}

void ModelRegistry::LoadAtStart(const std::string& name, const std::string& version) {
  const LoadTurn turn(*this);
  if (!turn.taken()) return;
  {
    MutexLock lock(mutex_);
    Model& model = models_[name];
    // Somebody may have activated another one, or this one, while this waited.
    if (!model.active.ok() || *model.active != version) return;
    if (model.versions[version].state == ModelState::kActive) return;
  }
  const absl::StatusOr<LoadedVersion> loaded = BringIn(name, version);
  if (!loaded.ok()) {
    MutexLock lock(mutex_);
    CountFailure(models_[name], version, loaded.status(), absl::Now());
    return;
  }
  const ModelSwap swap = SwapIn(name, version, *loaded);
  Log(LogLevel::kInfo, "model active",
      {{"model", name},
       {"version", version},
       {"hash", swap.hash},
       {"took", loaded->took.value_or(absl::ZeroDuration())}});
}

absl::StatusOr<ModelSwap> ModelRegistry::Activate(
    const std::string& name, const std::string& version,
    const std::optional<std::string>& expected_active) {
  const absl::Time start = absl::Now();
  const LoadTurn turn(*this);
  if (absl::Status known = BeginChange(turn, name, version); !known.ok()) return known;
  ModelHandle serving;
  std::string served;
  {
    MutexLock lock(mutex_);
    const absl::Status allowed = CheckExpected(name, expected_active);
    if (!allowed.ok()) return allowed;
    for (const auto& [number, entry] : models_[name].versions) {
      if (entry.state != ModelState::kActive) continue;
      served = number;
      if (number == version) serving = entry.handle;
    }
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
  return Swap(name, version, start, [&] { return store_.SetActive(name, version, served); });
}

absl::StatusOr<ModelSwap> ModelRegistry::Swap(const std::string& name, const std::string& version,
                                              absl::Time start,
                                              absl::FunctionRef<absl::Status()> decide) {
  const absl::StatusOr<LoadedVersion> loaded = BringIn(name, version);
  const absl::Status decided = loaded.ok() ? decide() : loaded.status();
  if (!decided.ok()) {
    metrics_.model_swaps.failed.Increment();
    if (loaded.ok() && loaded->took) {
      MutexLock lock(mutex_);
      TakeOut(models_[name].versions[version]);  // `loaded` lets it go, outside the lock
    }
    return decided;
  }
  ModelSwap swap = SwapIn(name, version, *loaded);
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

absl::Status ModelRegistry::CheckExpected(const std::string& name,
                                          const std::optional<std::string>& expected_active) {
  const absl::StatusOr<std::string>& active = models_[name].active;
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

absl::StatusOr<LoadedVersion> ModelRegistry::BringIn(const std::string& name,
                                                     const std::string& version) {
  {
    MutexLock lock(mutex_);
    Version& entry = models_[name].versions[version];
    if (entry.handle != nullptr) return LoadedVersion{.handle = entry.handle, .state = entry.state};
    entry.state = ModelState::kLoading;
    entry.problem = absl::OkStatus();
  }
  const absl::Time start = absl::Now();
  // What was damaged when it was last looked at may have been repaired.
  absl::StatusOr<model::Manifest> manifest = store_.ReadManifest(name, version);
  const absl::StatusOr<ModelHandle> loaded = LoadFitting(name, version, manifest);
  const absl::Duration took = absl::Now() - start;
  if (loaded.ok()) {
    metrics_.model_load_seconds.Observe(absl::ToDoubleSeconds(took));
  } else {
    Log(LogLevel::kError, "model failed to load",
        {{"model", name}, {"version", version}, {"reason", loaded.status()}});
  }

  MutexLock lock(mutex_);
  Version& entry = models_[name].versions[version];
  entry.manifest = std::move(manifest);
  if (!loaded.ok()) {
    entry.state = ModelState::kFailed;
    entry.problem = loaded.status();
    return loaded.status();
  }
  entry.state = ModelState::kLoaded;
  entry.handle = *loaded;
  return LoadedVersion{.handle = *loaded, .took = took};
}

absl::StatusOr<ModelHandle> ModelRegistry::LoadFitting(
    const std::string& name, const std::string& version,
    const absl::StatusOr<model::Manifest>& manifest) {
  if (!manifest.ok()) return manifest.status();
  {
    MutexLock lock(mutex_);
    const auto& recalibrated = models_[name].versions[version].recalibrated;
    if (!recalibrated.ok()) return recalibrated.status();
  }
  const absl::StatusOr<std::filesystem::path> directory = store_.Directory(name, version);
  if (!directory.ok()) return directory.status();
  if (const absl::Status fits = MakeRoom(*manifest); !fits.ok()) return fits;
  return loader_(*directory);
}

absl::Status ModelRegistry::MakeRoom(const model::Manifest& manifest) {
  const uint64_t needed =
      MemoryToLoad(manifest) + static_cast<uint64_t>(std::max<int64_t>(options_.memory_reserve, 0));
  auto [device, available] = Available();
  // The memory of what is let go is free once the requests that hold it are answered.
  while (available < needed && TakeOutKept() != nullptr) std::tie(device, available) = Available();
  if (available >= needed) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kResourceExhausted,
      absl::StrCat(FullName(manifest.name, manifest.version), " needs ", needed,
                   " bytes of memory to be loaded beside what is loaded, ", options_.memory_reserve,
                   " of them to stay free (models.memory_reserve); ", available,
                   " are available on ", device, ": unload a version, or give the server more"),
      {.reason = "MODEL_DOES_NOT_FIT",
       .field = "model",
       .metadata = {{"needed_bytes", absl::StrCat(needed)},
                    {"available_bytes", absl::StrCat(available)}}});
}

std::pair<std::string, uint64_t> ModelRegistry::Available() const {
  std::pair<std::string, uint64_t> least = {"", std::numeric_limits<uint64_t>::max()};
  for (const MemoryPlace& place : options_.memory) {
    const uint64_t available = place.measure().available();
    if (available < least.second) least = {place.device, available};
  }
  return least;
}

ModelHandle ModelRegistry::TakeOutKept() {
  ModelHandle let_go;
  std::string full_name;
  {
    MutexLock lock(mutex_);
    Version* least_recent = nullptr;
    for (auto& [name, model] : models_) {
      for (auto& [version, entry] : model.versions) {
        if (entry.state != ModelState::kLoaded || entry.requested) continue;
        if (least_recent != nullptr && least_recent->activated <= entry.activated) continue;
        least_recent = &entry;
        full_name = FullName(name, version);
      }
    }
    if (least_recent == nullptr) return nullptr;
    let_go = TakeOut(*least_recent);
  }
  Log(LogLevel::kInfo, "model version let go to make room", {{"model", full_name}});
  return let_go;
}

ModelSwap ModelRegistry::SwapIn(const std::string& name, const std::string& version,
                                const LoadedVersion& loaded) {
  const model::Manifest& manifest = loaded.handle->manifest();
  ModelSwap swap{.version = version, .hash = manifest.hash};
  if (loaded.took) swap.probe_score = loaded.handle->probe_score();
  if (swap.probe_score && manifest.probe) swap.expected_score = manifest.probe->score;
  metrics_.SetModelInfo(name, version, swap.hash, manifest.metrics);
  std::vector<ModelHandle> let_go;  // outside the lock: each may be the last one
  {
    MutexLock lock(mutex_);
    Model& model = models_[name];
    for (auto& [other, entry] : model.versions) {
      if (entry.state == ModelState::kActive) {
        entry.state = ModelState::kLoaded;
        swap.previous = other;
        swap.previous_hash = entry.handle->manifest().hash;
      } else if (entry.state == ModelState::kLoaded && !entry.requested && other != version) {
        let_go.push_back(TakeOut(entry));
      }
    }
    Version& entry = model.versions[version];
    entry.state = ModelState::kActive;
    entry.activated = absl::Now();
    model.active = version;
    model.settled = true;
  }
  if (!swap.previous.empty()) metrics_.ClearModelInfo(name, swap.previous, swap.previous_hash);
  return swap;
}

absl::StatusOr<LoadedVersion> ModelRegistry::Load(const std::string& name,
                                                  const std::string& version) {
  const LoadTurn turn(*this);
  if (absl::Status known = BeginChange(turn, name, version); !known.ok()) return known;
  absl::StatusOr<LoadedVersion> loaded = BringIn(name, version);
  if (!loaded.ok()) return loaded;
  MutexLock lock(mutex_);
  models_[name].versions[version].requested = true;
  return loaded;
}

ModelHandle ModelRegistry::TakeOut(Version& entry) {
  if (entry.state == ModelState::kLoaded) entry.state = ModelState::kStored;
  entry.requested = false;
  return std::exchange(entry.handle, nullptr);
}

absl::StatusOr<ReleasedVersion> ModelRegistry::Unload(const std::string& name,
                                                      const std::string& version) {
  const LoadTurn turn(*this);
  if (absl::Status known = BeginChange(turn, name, version); !known.ok()) return known;
  ModelHandle let_go;  // outside the lock: it may be the last one
  MutexLock lock(mutex_);
  Version& entry = models_[name].versions[version];
  if (entry.state == ModelState::kActive) return InUse(name, version, entry.state);
  let_go = TakeOut(entry);
  return ReleasedVersion{.hash = entry.manifest.ok() ? entry.manifest->hash : "",
                         .freed_bytes = let_go == nullptr ? 0 : let_go->memory_bytes()};
}

absl::StatusOr<ReleasedVersion> ModelRegistry::Delete(const std::string& name,
                                                      const std::string& version) {
  const LoadTurn turn(*this);
  if (absl::Status known = BeginChange(turn, name, version); !known.ok()) return known;
  ReleasedVersion released;
  {
    MutexLock lock(mutex_);
    const Version& entry = models_[name].versions[version];
    if (entry.handle != nullptr) return InUse(name, version, entry.state);
    if (entry.manifest.ok()) released.hash = entry.manifest->hash;
  }
  const absl::StatusOr<uint64_t> freed = store_.Remove(name, version);
  if (absl::IsFailedPrecondition(freed.status())) {  // it serves on servers that share the store
    return InUse(name, version, ModelState::kActive);
  }
  if (!freed.ok()) return freed.status();
  Log(LogLevel::kInfo, "model version removed",
      {{"model", name}, {"version", version}, {"bytes", *freed}});
  MutexLock lock(mutex_);
  models_[name].versions.erase(version);
  released.freed_bytes = *freed;
  return released;
}

absl::StatusOr<ReplacedVersion> ModelRegistry::Replaced(const std::string& name) {
  if (const absl::Status scanned = Scan(); !scanned.ok()) return scanned;
  {
    MutexLock lock(mutex_);
    if (!models_.contains(name)) return Resolve({.name = name, .version = ""}).status();
  }
  absl::StatusOr<ReplacedVersion> replaced = store_.Replaced(name);
  if (!absl::IsNotFound(replaced.status())) return replaced;
  return MakeError(absl::StatusCode::kFailedPrecondition, replaced.status().message(),
                   {.reason = "NO_VERSION_BEFORE", .field = "name"});
}

}  // namespace proad::server
