// Changes which versions are in memory and which of them serve.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/serving/model_catalog.h"
#include "server/serving/model_store.h"
#include "server/serving/recalibration.h"
#include "server/serving/store_scanner.h"
#include "server/serving/version_loader.h"
#include "server/telemetry/metrics.h"

namespace proad::server {

// The result of a change of the active version.
struct ModelSwap {
  std::string version;
  std::string hash;
  std::string previous;  // the active version before; "": none
  std::string previous_hash;
  absl::Duration took;                   // from the request to the swap
  std::optional<double> probe_score;     // nullopt: no probe, or the version was in memory
  std::optional<double> expected_score;  // of the probe, when the version was published
};

// A version that left memory, or the store.
struct ReleasedVersion {
  std::string hash;          // "": not known
  uint64_t freed_bytes = 0;  // free when the last request that holds the version is answered
};

// Each change holds the loader's permit, so it waits for the change before it, and begins with a
// scan, so it finds versions that were published meanwhile. Every change fails with
//   NOT_FOUND    unknown name or version; the message lists a bounded number of known ones
//   UNAVAILABLE  DRAINING: VersionLoader::Stop was called
// and as listed at its method.
//
// Thread-safety: all methods may be called from any thread, and may block for seconds. Every
// collaborator must outlive it.
class ModelLifecycle {
 public:
  ModelLifecycle(const ModelStore& store, StoreScanner& scanner, ModelCatalog& catalog,
                 VersionLoader& loader, Metrics& metrics);
  ModelLifecycle(const ModelLifecycle&) = delete;
  ModelLifecycle& operator=(const ModelLifecycle&) = delete;

  // Makes a version the active one of its name: loads it beside the active version unless it is in
  // memory, writes the store's pointer, then swaps by one assignment. A request keeps the version
  // that it was admitted with. On any error nothing changes. The version that was active stays in
  // memory until the next swap of its name, or until its memory is needed. Activating the active
  // version is OK.
  //   ABORTED             ACTIVE_VERSION_CHANGED: the active version is not `expected_active`.
  //                       "": none must be active; nullopt: no check
  //   RESOURCE_EXHAUSTED  MODEL_DOES_NOT_FIT, or the store's disk is full
  //   else                as VersionLoader::Load
  absl::StatusOr<ModelSwap> Activate(const std::string& name, const std::string& version,
                                     const std::optional<std::string>& expected_active);

  // Activates the version that was active before the present one, with the same hash. Otherwise as
  // Activate.
  //   FAILED_PRECONDITION  NO_VERSION_BEFORE: there is none, or it was removed or replaced
  //   ABORTED              also when the active version changes at the same time
  absl::StatusOr<ModelSwap> RollBack(const std::string& name,
                                     const std::optional<std::string>& expected_active);

  // Loads a version into memory; it stays there until Unload. A version in memory is left as it is.
  // As VersionLoader::Load.
  absl::StatusOr<LoadedVersion> Load(const std::string& name, const std::string& version);

  // Takes a version out of memory; requests that hold it are answered with it. A version that is
  // not in memory is left as it is.
  //   FAILED_PRECONDITION  MODEL_ACTIVE
  absl::StatusOr<ReleasedVersion> Unload(const std::string& name, const std::string& version);

  // Removes a version from the store.
  //   FAILED_PRECONDITION  MODEL_ACTIVE (here or on a server that shares the store), MODEL_LOADED
  //   INTERNAL             the file system refuses
  absl::StatusOr<ReleasedVersion> Delete(const std::string& name, const std::string& version);

  // Sets thresholds of a version in place of those of the same categories, and writes them to the
  // version's thresholds file.
  //   RESOURCE_EXHAUSTED  the store's disk is full
  //   DATA_LOSS           the present thresholds or the manifest cannot be read
  absl::Status SetThresholds(const std::string& name, const std::string& version,
                             const Recalibrations& recalibrations);

  // For PointerFollower.

  // Makes `version` active at the start, unless another one was activated meanwhile, and records in
  // the store that it serves. As VersionLoader::Load.
  absl::Status ServeAtStart(const std::string& name, const std::string& version);

  // Makes `pointed` active because the store's pointer names it. False when the pointer names
  // another version by now, or the version is active already. As Activate.
  absl::StatusOr<bool> ServePointed(const std::string& name, const PointedVersion& pointed);

 private:
  // Scans, and checks that the version is known.
  absl::Status BeginChange(const VersionLoader::Permit& permit, const std::string& name,
                           const std::string& version);
  absl::Status CheckExpected(const std::string& name,
                             const std::optional<std::string>& expected_active) const;
  using Commit = absl::FunctionRef<absl::Status(const PointedVersion& loaded)>;
  // Loads a version, calls `commit`, makes the version active. When `commit` fails, or the version
  // is not `wanted`, a version that was loaded for this leaves memory again.
  absl::StatusOr<ModelSwap> Swap(const VersionLoader::Permit& permit, const std::string& name,
                                 const PointedVersion& wanted, absl::Time start, Commit commit);
  // The part of Activate and RollBack after their checks.
  absl::StatusOr<ModelSwap> ActivateKnown(const VersionLoader::Permit& permit,
                                          const std::string& name, const PointedVersion& wanted,
                                          absl::Time start);
  // Fails when the store's pointer names this version with another hash.
  absl::Status CheckPointedHash(const std::string& name, const PointedVersion& loaded) const;
  // Writes the store's pointer for a version that serves without one; logs a failure once.
  void RecordServing(const std::string& name, const PointedVersion& serving);
  absl::StatusOr<ModelSwap> Promote(const std::string& name, const std::string& version,
                                    const LoadedVersion& loaded);

  const ModelStore& store_;
  StoreScanner& scanner_;
  ModelCatalog& catalog_;
  VersionLoader& loader_;
  Metrics& metrics_;
  std::atomic<bool> logged_unrecorded_ = false;
};

}  // namespace proad::server
