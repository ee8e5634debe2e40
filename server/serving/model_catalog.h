// The table of the model versions that the server knows: the state of each version, and the version
// that answers each name.
//
// StoreScanner fills it from the disk, VersionLoader and ModelLifecycle change the states, requests
// read it. The catalog never touches the disk and calls no other class.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/serving/model_store.h"
#include "server/serving/model_table.h"
#include "server/serving/recalibration.h"
#include "server/serving/servable_model.h"
#include "server/util/mutex.h"

namespace proad::server {

// One version in a list.
struct ListedVersion {
  std::string name;
  std::string version;
  ModelState state = ModelState::kStored;
  absl::Status problem;                         // the reason for kFailed; OK otherwise
  bool is_default = false;                      // answers requests that name no model
  std::optional<model::Manifest> manifest;      // nullopt: cannot be read
  absl::Time activated = absl::InfinitePast();  // when it became active
  uint64_t memory_bytes = 0;                    // of its weights; 0 when it is not in memory
  RecalibrationsInForce recalibrated;           // null: the thresholds it was published with
};

// A version in memory.
struct LoadedVersion {
  ModelHandle handle;
  ModelState state = ModelState::kLoaded;  // or kActive
  std::optional<absl::Duration> took;      // time to load; nullopt: it was in memory already
};

// A version as the scanner last read it.
struct KnownVersion {
  std::string name;
  std::string version;
  std::string hash;                           // of the manifest; "": it cannot be read
  std::optional<FileStamp> manifest_stamp;    // of the manifest; nullopt: there was none
  std::optional<FileStamp> thresholds_stamp;  // of the thresholds file; nullopt: there was none
};

// The error for a version that cannot be unloaded or deleted because it is kActive or kLoaded.
// FAILED_PRECONDITION (MODEL_ACTIVE or MODEL_LOADED).
absl::Status VersionInUse(absl::string_view name, absl::string_view version, ModelState state);

// Thread-safety: all methods may be called from any thread. Methods that take a version out of
// memory return its handle, and the caller drops it: that may free gigabytes, so it happens outside
// the lock.
class ModelCatalog {
 public:
  // `default_model` answers requests that name no model. "": the only model of the store, when the
  // first Update finds exactly one model with versions.
  explicit ModelCatalog(std::string default_model);
  ModelCatalog(const ModelCatalog&) = delete;
  ModelCatalog& operator=(const ModelCatalog&) = delete;

  // For requests.

  // The version that answers `model`: "" (the default model), "name" or "name@version".
  //   INVALID_ARGUMENT     not a model name; or "" when several models are known and none is the
  //                        default
  //   NOT_FOUND            unknown name or version; the message lists known ones
  //   FAILED_PRECONDITION  the version is known but not in memory, or VERSION_REPLACED; the message
  //                        says why
  //   UNAVAILABLE          the version is being loaded; or `model` is "" and the default model is
  //                        not ready
  absl::StatusOr<ModelHandle> Acquire(absl::string_view model) const;

  // The thresholds that Calibrate set for a version from Acquire; null: none.
  RecalibrationsInForce InForce(const ServableModel& model) const;

  // Whether requests that name no model are answered; without a default model, whether the loading
  // at the start has ended and at least one version is active.
  bool Ready() const;

  // Bytes of the weights of all versions in memory.
  uint64_t memory_bytes() const;

  // For lists and checks.

  // Every version, by name, then newest first.
  std::vector<ListedVersion> List() const;

  // The version that Acquire would choose, in any state. INVALID_ARGUMENT and NOT_FOUND as Acquire.
  absl::StatusOr<ListedVersion> Find(absl::string_view model) const;

  // OK when `name` is known and has `version`. "" stands for its active version. NOT_FOUND as
  // Acquire.
  absl::Status CheckKnown(const std::string& name, const std::string& version) const;
  bool Knows(const std::string& name) const;

  // The version that answers `name`, in memory or not. NOT_FOUND when there is none, also for a name
  // that is new since BeginStart and was not activated; otherwise as StoredModel::active.
  absl::StatusOr<std::string> Active(const std::string& name) const;

  // The version of `name` that is kActive, and its handle; nullopt: none.
  std::optional<std::pair<std::string, ModelHandle>> Serving(const std::string& name) const;

  // The thresholds that Calibrate set for a version; null: none. The error of reading their file
  // when the version must not be loaded because of it.
  absl::StatusOr<RecalibrationsInForce> Thresholds(const std::string& name,
                                                   const std::string& version) const;

  // For the scanner.

  std::vector<KnownVersion> Known() const;

  // ModelTable::Merge. `read` has the manifests of versions that Known() did not list, or listed
  // with another stamp.
  std::vector<ReplacedInStore> Update(const std::vector<StoredModel>& stored, ReadManifests read);

  // How many active versions left memory because they were replaced in the store.
  uint64_t active_replaced() const;

  // Sets the thresholds of a version from its file, which had the stamp `read_as` when it was
  // `read`. Does nothing when the catalog's stamp is no longer `known.thresholds_stamp`: another
  // scan was faster. An unreadable file does not change a version that is in memory.
  void SetThresholds(const KnownVersion& known, const std::optional<FileStamp>& read_as,
                     absl::StatusOr<Recalibrations> read);

  // For the loader, which loads one version at a time.

  // Returns the version when it is in memory; otherwise marks it kLoading and returns nullopt.
  std::optional<LoadedVersion> BeginLoad(const std::string& name, const std::string& version);
  // Ends a load: the version becomes kLoaded, or kFailed with the error.
  void EndLoad(const std::string& name, const std::string& version,
               absl::StatusOr<model::Manifest> manifest, const absl::StatusOr<ModelHandle>& loaded);

  struct Evicted {
    std::string full_name;
    ModelHandle handle;
  };
  // Takes out of memory the version that served longest ago, among those that are in memory only
  // because they served before. nullopt: there is none.
  std::optional<Evicted> EvictLeastRecent();

  // For the lifecycle, which makes one change at a time.

  struct Promotion {
    std::string previous;  // the version that was active before; "": none
    std::string previous_hash;
    std::vector<ModelHandle> released;  // versions of the name that left memory
  };
  // Makes a version in memory the active one of its name. The version that was active stays in
  // memory; one that was active before that leaves, unless KeepInMemory was called for it.
  // FAILED_PRECONDITION (VERSION_REPLACED) when `loaded` has left memory since it was loaded.
  absl::StatusOr<Promotion> Promote(const std::string& name, const std::string& version,
                                    const ModelHandle& loaded);

  // A version in memory stays there until Release.
  void KeepInMemory(const std::string& name, const std::string& version);

  struct Released {
    std::string hash;    // "": the manifest cannot be read
    ModelHandle handle;  // null: it was not in memory
  };
  // Takes a version out of memory. FAILED_PRECONDITION (MODEL_ACTIVE) for the active version.
  absl::StatusOr<Released> Release(const std::string& name, const std::string& version);

  // The hash of a version that is not in memory; "": its manifest cannot be read.
  // FAILED_PRECONDITION (MODEL_ACTIVE or MODEL_LOADED) for a version in memory.
  absl::StatusOr<std::string> CheckUnused(const std::string& name,
                                          const std::string& version) const;

  // Removes a version that is not in memory.
  void Forget(const std::string& name, const std::string& version);

  // For the start.

  struct StartingModel {
    std::string name;
    absl::StatusOr<std::string> active;
  };
  // The models to load at the start, the default model first. From now on only Promote changes the
  // active version of these names; Update does not.
  std::vector<StartingModel> BeginStart();
  void EndStart();
  // Whether EndStart was called.
  bool started() const;

 private:
  void PickDefault() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<ModelHandle> AcquireDefault() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  ListedVersion Listed(const std::string& name, const std::string& version,
                       const ModelTable::Version& entry) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  std::string default_ ABSL_GUARDED_BY(mutex_);
  ModelTable table_ ABSL_GUARDED_BY(mutex_);
  bool starting_ ABSL_GUARDED_BY(mutex_) = false;  // BeginStart was called
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t active_replaced_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace proad::server
