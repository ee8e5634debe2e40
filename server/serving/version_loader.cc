#include "server/serving/version_loader.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <optional>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/telemetry/log.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

// Peak memory of loading a version, as a multiple of the bytes of its files: the tensors as stored,
// and the network that serves.
constexpr uint64_t kMemoryForStored = 3;

uint64_t MemoryToLoad(const model::Manifest& manifest) {
  uint64_t stored = 0;
  for (const auto& [file, digest] : manifest.files) stored += static_cast<uint64_t>(digest.bytes);
  return kMemoryForStored * stored;
}

}  // namespace

VersionLoader::Permit::Permit(VersionLoader& loader) : loader_(loader) {
  MutexLock lock(loader_.mutex_);
  while (loader_.permit_taken_ && !loader_.stopped_) loader_.permit_free_.Wait(loader_.mutex_);
  granted_ = !loader_.stopped_;
  if (granted_) loader_.permit_taken_ = true;
}

VersionLoader::Permit::~Permit() {
  if (!granted_) return;
  {
    MutexLock lock(loader_.mutex_);
    loader_.permit_taken_ = false;
  }
  loader_.permit_free_.NotifyAll();
}

absl::Status VersionLoader::Permit::status() const {
  if (granted_) return absl::OkStatus();
  return MakeError(absl::StatusCode::kUnavailable,
                   "the server is shutting down; try another server",
                   {.reason = reason::kDraining, .retry_after = absl::ZeroDuration()});
}

VersionLoader::VersionLoader(Options options, const ModelStore& store, ModelLoader load,
                             ModelCatalog& catalog, Metrics& metrics)
    : options_(std::move(options)),
      store_(store),
      load_(std::move(load)),
      catalog_(catalog),
      metrics_(metrics) {}

void VersionLoader::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  permit_free_.NotifyAll();
}

bool VersionLoader::stopped() const {
  MutexLock lock(mutex_);
  return stopped_;
}

absl::StatusOr<LoadedVersion> VersionLoader::Load(const Permit& permit, const std::string& name,
                                                  const std::string& version) {
  if (absl::Status granted = permit.status(); !granted.ok()) return granted;
  if (std::optional<LoadedVersion> present = catalog_.BeginLoad(name, version)) return *present;
  const absl::Time start = absl::Now();
  // Read again: a manifest that was damaged at the last scan may have been repaired.
  absl::StatusOr<model::Manifest> manifest = store_.ReadManifest(name, version);
  const absl::StatusOr<ModelHandle> loaded = LoadFitting(name, version, manifest);
  const absl::Duration took = absl::Now() - start;
  catalog_.EndLoad(name, version, std::move(manifest), loaded);
  if (!loaded.ok()) {
    Log(LogLevel::kError, "model failed to load",
        {{"model", name}, {"version", version}, {"reason", loaded.status()}});
    return loaded.status();
  }
  metrics_.model_load_seconds.Observe(absl::ToDoubleSeconds(took));
  return LoadedVersion{.handle = *loaded, .state = ModelState::kLoaded, .took = took};
}

absl::StatusOr<ModelHandle> VersionLoader::LoadFitting(
    const std::string& name, const std::string& version,
    const absl::StatusOr<model::Manifest>& manifest) {
  if (!manifest.ok()) return manifest.status();
  if (const auto thresholds = catalog_.Thresholds(name, version); !thresholds.ok()) {
    return thresholds.status();
  }
  const absl::StatusOr<std::filesystem::path> directory = store_.Directory(name, version);
  if (!directory.ok()) return directory.status();
  if (const absl::Status fits = MakeRoom(*manifest); !fits.ok()) return fits;
  absl::StatusOr<ModelHandle> loaded = load_(*directory);
  if (!loaded.ok() || (*loaded)->manifest().hash == manifest->hash) return loaded;
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   absl::StrCat(FullName(name, version), " had hash ", manifest->hash,
                                " and was replaced during the load by a version with hash ",
                                (*loaded)->manifest().hash),
                   {.reason = reason::kVersionReplaced, .field = "model"});
}

absl::Status VersionLoader::MakeRoom(const model::Manifest& manifest) {
  const uint64_t needed =
      MemoryToLoad(manifest) + static_cast<uint64_t>(std::max<int64_t>(options_.memory_reserve, 0));
  auto [device, available] = LeastAvailable();
  while (available < needed) {
    std::optional<ModelCatalog::Evicted> evicted = catalog_.EvictLeastRecent();
    if (!evicted) break;
    // The memory is free when the last request that holds the version is answered.
    evicted->handle.reset();
    Log(LogLevel::kInfo, "model version evicted to make room", {{"model", evicted->full_name}});
    std::tie(device, available) = LeastAvailable();
  }
  if (available >= needed) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kResourceExhausted,
      absl::StrCat(FullName(manifest.name, manifest.version), " needs ", needed,
                   " bytes of memory to be loaded beside the loaded versions, including ",
                   options_.memory_reserve, " that must stay free (models.memory_reserve); ",
                   available, " are available on ", device,
                   ": unload a version, or give the server more memory"),
      {.reason = reason::kModelDoesNotFit,
       .field = "model",
       .metadata = {{"needed_bytes", absl::StrCat(needed)},
                    {"available_bytes", absl::StrCat(available)}}});
}

std::pair<std::string, uint64_t> VersionLoader::LeastAvailable() const {
  std::pair<std::string, uint64_t> least = {"", std::numeric_limits<uint64_t>::max()};
  for (const MemoryPlace& place : options_.memory) {
    const uint64_t available = place.measure().available();
    if (available < least.second) least = {place.device, available};
  }
  return least;
}

}  // namespace proad::server
