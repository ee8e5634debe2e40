#include "server/serving/model_lifecycle.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/telemetry/log.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

absl::Status WrongHash(const std::string& name, const PointedVersion& wanted,
                       const std::string& hash) {
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   absl::StrCat(FullName(name, wanted.version), " has hash ", hash, ", not ",
                                wanted.hash, ": it was replaced in the store"),
                   {.reason = reason::kVersionReplaced, .field = "model"});
}

}  // namespace

ModelLifecycle::ModelLifecycle(const ModelStore& store, StoreScanner& scanner,
                               ModelCatalog& catalog, VersionLoader& loader, Metrics& metrics)
    : store_(store), scanner_(scanner), catalog_(catalog), loader_(loader), metrics_(metrics) {}

absl::Status ModelLifecycle::BeginChange(const VersionLoader::Permit& permit,
                                         const std::string& name, const std::string& version) {
  if (absl::Status granted = permit.status(); !granted.ok()) return granted;
  if (absl::Status scanned = scanner_.Scan(); !scanned.ok()) return scanned;
  return catalog_.CheckKnown(name, version);
}

absl::StatusOr<ModelSwap> ModelLifecycle::Activate(
    const std::string& name, const std::string& version,
    const std::optional<std::string>& expected_active) {
  const absl::Time start = absl::Now();
  const VersionLoader::Permit permit(loader_);
  if (absl::Status begun = BeginChange(permit, name, version); !begun.ok()) return begun;
  if (absl::Status expected = CheckExpected(name, expected_active); !expected.ok()) return expected;
  return ActivateKnown(permit, name, {.version = version, .hash = ""}, start);
}

absl::StatusOr<ModelSwap> ModelLifecycle::RollBack(
    const std::string& name, const std::optional<std::string>& expected_active) {
  const absl::Time start = absl::Now();
  const VersionLoader::Permit permit(loader_);
  if (absl::Status granted = permit.status(); !granted.ok()) return granted;
  if (absl::Status scanned = scanner_.Scan(); !scanned.ok()) return scanned;
  if (!catalog_.Knows(name)) return catalog_.CheckKnown(name, "");
  const absl::StatusOr<ReplacedVersion> replaced = store_.Replaced(name);
  if (absl::IsNotFound(replaced.status())) {
    return MakeError(absl::StatusCode::kFailedPrecondition, replaced.status().message(),
                     {.reason = reason::kNoVersionBefore, .field = "name"});
  }
  if (!replaced.ok()) return replaced.status();
  std::optional<std::string> expected = expected_active;
  // Another server may have changed the pointer, and this one may not have followed yet. When the
  // active version was replaced in the store, none is active here.
  if (!expected && catalog_.Active(name).ok()) expected = replaced->active.version;
  if (absl::Status checked = CheckExpected(name, expected); !checked.ok()) return checked;
  return ActivateKnown(permit, name, replaced->version, start);
}

absl::StatusOr<ModelSwap> ModelLifecycle::ActivateKnown(const VersionLoader::Permit& permit,
                                                        const std::string& name,
                                                        const PointedVersion& wanted,
                                                        absl::Time start) {
  const auto serving = catalog_.Serving(name);
  PointedVersion served;
  if (serving) served = {serving->first, serving->second->manifest().hash};
  if (serving && wanted.Matches(served)) {
    if (absl::Status written = store_.SetActive(name, served); !written.ok()) return written;
    return ModelSwap{.version = served.version,
                     .hash = served.hash,
                     .previous = served.version,
                     .previous_hash = served.hash,
                     .took = absl::Now() - start,
                     .probe_score = std::nullopt,
                     .expected_score = std::nullopt};
  }
  return Swap(permit, name, wanted, start,
              [&](const PointedVersion& loaded) { return store_.SetActive(name, loaded, served); });
}

absl::StatusOr<ModelSwap> ModelLifecycle::Swap(const VersionLoader::Permit& permit,
                                               const std::string& name,
                                               const PointedVersion& wanted, absl::Time start,
                                               Commit commit) {
  const std::string& version = wanted.version;
  const absl::StatusOr<LoadedVersion> loaded = loader_.Load(permit, name, version);
  absl::Status committed = loaded.status();
  if (loaded.ok()) {
    const PointedVersion present = {version, loaded->handle->manifest().hash};
    committed = wanted.Matches(present) ? commit(present) : WrongHash(name, wanted, present.hash);
  }
  if (!committed.ok()) {
    metrics_.model_swaps.failed.Increment();
    if (loaded.ok() && loaded->took) catalog_.Release(name, version).IgnoreError();
    return committed;
  }
  absl::StatusOr<ModelSwap> swap = Promote(name, version, *loaded);
  if (!swap.ok()) {
    metrics_.model_swaps.failed.Increment();
    return swap;
  }
  swap->took = absl::Now() - start;
  metrics_.model_swaps.ok.Increment();
  Log(LogLevel::kInfo, "model active",
      {{"model", name},
       {"version", version},
       {"previous", swap->previous},
       {"hash", swap->hash},
       {"took", swap->took}});
  return swap;
}

absl::Status ModelLifecycle::CheckExpected(
    const std::string& name, const std::optional<std::string>& expected_active) const {
  const absl::StatusOr<std::string> active = catalog_.Active(name);
  if (!expected_active || *expected_active == active.value_or("")) return absl::OkStatus();
  const std::string none = absl::StrCat("no version of ", name);
  return MakeError(
      absl::StatusCode::kAborted,
      absl::StrCat("expected_active_version: ",
                   expected_active->empty() ? none : FullName(name, Quote(*expected_active)),
                   " is not active; ", active.ok() ? FullName(name, *active) : none, " is"),
      {.reason = reason::kActiveVersionChanged,
       .field = "expected_active_version",
       .metadata = {{"active_version", active.value_or("")}}});
}

absl::StatusOr<ModelSwap> ModelLifecycle::Promote(const std::string& name,
                                                  const std::string& version,
                                                  const LoadedVersion& loaded) {
  const model::Manifest& manifest = loaded.handle->manifest();
  ModelSwap swap;
  swap.version = version;
  swap.hash = manifest.hash;
  if (loaded.took) swap.probe_score = loaded.handle->probe_score();
  if (swap.probe_score && manifest.probe) swap.expected_score = manifest.probe->score;
  const absl::StatusOr<ModelCatalog::Promotion> promotion =
      catalog_.Promote(name, version, loaded.handle);
  if (!promotion.ok()) return promotion.status();
  swap.previous = promotion->previous;
  swap.previous_hash = promotion->previous_hash;
  metrics_.SetModelInfo(name, version, swap.hash, manifest.metrics);
  if (!swap.previous.empty()) metrics_.ClearModelInfo(name, swap.previous, swap.previous_hash);
  return swap;
}

absl::StatusOr<LoadedVersion> ModelLifecycle::Load(const std::string& name,
                                                   const std::string& version) {
  const VersionLoader::Permit permit(loader_);
  if (absl::Status begun = BeginChange(permit, name, version); !begun.ok()) return begun;
  absl::StatusOr<LoadedVersion> loaded = loader_.Load(permit, name, version);
  if (loaded.ok()) catalog_.KeepInMemory(name, version);
  return loaded;
}

absl::StatusOr<ReleasedVersion> ModelLifecycle::Unload(const std::string& name,
                                                       const std::string& version) {
  const VersionLoader::Permit permit(loader_);
  if (absl::Status begun = BeginChange(permit, name, version); !begun.ok()) return begun;
  const absl::StatusOr<ModelCatalog::Released> released = catalog_.Release(name, version);
  if (!released.ok()) return released.status();
  return ReleasedVersion{
      .hash = released->hash,
      .freed_bytes = released->handle == nullptr ? 0 : released->handle->memory_bytes()};
}

absl::StatusOr<ReleasedVersion> ModelLifecycle::Delete(const std::string& name,
                                                       const std::string& version) {
  const VersionLoader::Permit permit(loader_);
  if (absl::Status begun = BeginChange(permit, name, version); !begun.ok()) return begun;
  const absl::StatusOr<std::string> hash = catalog_.CheckUnused(name, version);
  if (!hash.ok()) return hash.status();
  const absl::StatusOr<uint64_t> freed = store_.Remove(name, version);
  if (absl::IsFailedPrecondition(freed.status())) {
    // The pointer names it: it is active on a server that shares the store.
    return VersionInUse(name, version, ModelState::kActive);
  }
  if (!freed.ok()) return freed.status();
  catalog_.Forget(name, version);
  Log(LogLevel::kInfo, "model version removed",
      {{"model", name}, {"version", version}, {"bytes", *freed}});
  return ReleasedVersion{.hash = *hash, .freed_bytes = *freed};
}

absl::Status ModelLifecycle::SetThresholds(const std::string& name, const std::string& version,
                                           const Recalibrations& recalibrations) {
  const VersionLoader::Permit permit(loader_);
  if (absl::Status begun = BeginChange(permit, name, version); !begun.ok()) return begun;
  const absl::StatusOr<std::filesystem::path> directory = store_.Directory(name, version);
  if (!directory.ok()) return directory.status();
  const absl::StatusOr<ListedVersion> listed = catalog_.Find(FullName(name, version));
  if (!listed.ok()) return listed.status();
  if (!listed->manifest) return listed->problem;
  const absl::StatusOr<RecalibrationsInForce> present = catalog_.Thresholds(name, version);
  if (!present.ok()) return present.status();
  Recalibrations merged = recalibrations;
  if (*present != nullptr) merged.insert((*present)->begin(), (*present)->end());
  absl::Status written =
      WriteRecalibrations(RecalibrationFile(*directory), listed->manifest->hash, merged);
  if (!written.ok()) return written;
  scanner_.ScanThresholds();
  return absl::OkStatus();
}

absl::Status ModelLifecycle::ServeAtStart(const std::string& name, const std::string& version) {
  const VersionLoader::Permit permit(loader_);
  if (absl::Status granted = permit.status(); !granted.ok()) return granted;
  const absl::StatusOr<std::string> active = catalog_.Active(name);
  if (!active.ok() || *active != version || catalog_.Serving(name)) return absl::OkStatus();
  const absl::StatusOr<LoadedVersion> loaded = loader_.Load(permit, name, version);
  if (!loaded.ok()) return loaded.status();
  const PointedVersion serving = {version, loaded->handle->manifest().hash};
  if (absl::Status pointed = CheckPointedHash(name, serving); !pointed.ok()) {
    if (loaded->took) catalog_.Release(name, version).IgnoreError();
    return pointed;
  }
  if (const auto swap = Promote(name, version, *loaded); !swap.ok()) return swap.status();
  Log(LogLevel::kInfo, "model active",
      {{"model", name},
       {"version", version},
       {"hash", serving.hash},
       {"took", loaded->took.value_or(absl::ZeroDuration())}});
  RecordServing(name, serving);
  return absl::OkStatus();
}

absl::Status ModelLifecycle::CheckPointedHash(const std::string& name,
                                              const PointedVersion& loaded) const {
  const absl::StatusOr<VersionPointer> pointer = store_.Pointer(name);
  if (absl::IsFailedPrecondition(pointer.status())) return pointer.status();
  if (!pointer.ok() || pointer->active.version != loaded.version) return absl::OkStatus();
  if (pointer->active.Matches(loaded)) return absl::OkStatus();
  return WrongHash(name, pointer->active, loaded.hash);
}

void ModelLifecycle::RecordServing(const std::string& name, const PointedVersion& serving) {
  const absl::Status recorded = store_.RecordServing(name, serving);
  if (recorded.ok() || logged_unrecorded_.exchange(true)) return;
  Log(LogLevel::kWarning,
      "the active version cannot be recorded in the store; a newer version may serve after a "
      "restart",
      {{"model", name}, {"version", serving.version}, {"reason", recorded}});
}

absl::StatusOr<bool> ModelLifecycle::ServePointed(const std::string& name,
                                                  const PointedVersion& pointed) {
  const absl::Time start = absl::Now();
  const VersionLoader::Permit permit(loader_);
  if (absl::Status begun = BeginChange(permit, name, pointed.version); !begun.ok()) return begun;
  // The change before this one may have changed the pointer and the active version.
  const absl::StatusOr<VersionPointer> pointer = store_.Pointer(name);
  if (!pointer.ok() || pointer->active != pointed) return false;
  const auto serving = catalog_.Serving(name);
  if (serving && pointed.Matches({serving->first, serving->second->manifest().hash})) return false;
  const absl::StatusOr<ModelSwap> swap =
      Swap(permit, name, pointed, start, [](const PointedVersion&) { return absl::OkStatus(); });
  if (!swap.ok()) return swap.status();
  RecordServing(name, {swap->version, swap->hash});
  return true;
}

}  // namespace proad::server
