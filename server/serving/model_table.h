// The entries of ModelCatalog: models by name, versions by model, and how names resolve to them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/serving/model_name.h"
#include "server/serving/model_store.h"
#include "server/serving/recalibration.h"
#include "server/serving/servable_model.h"

namespace proad::server {

// The state of a version.
enum class ModelState {
  kStored,   // in the store, not in memory
  kLoading,  // being loaded into memory
  kLoaded,   // in memory, and answers to its full name
  kActive,   // in memory, and answers to its name as well
  kFailed,   // its manifest could not be read, or it could not be loaded
};

// A manifest that was read, or the error of reading it.
struct ReadManifest {
  absl::StatusOr<model::Manifest> manifest = absl::UnknownError("the manifest was not read");
  std::optional<FileStamp> stamp = std::nullopt;        // of the file that was read
  std::optional<FileStamp> known_stamp = std::nullopt;  // that the table had before
};
// By name and version.
using ReadManifests = std::map<std::pair<std::string, std::string>, ReadManifest>;

// A version in memory whose directory was replaced by another version of that number.
struct ReplacedInStore {
  std::string name;
  std::string version;
  std::string hash;         // of the version that was in memory
  std::string stored_hash;  // of the version in the store
  bool active = false;      // it answered its name
  ModelHandle handle;       // for the caller to drop
};

// Not thread-safe: ModelCatalog guards it.
class ModelTable {
 public:
  struct Version {
    ModelState state = ModelState::kStored;
    absl::Status problem;  // the reason for kFailed
    ModelHandle handle;    // set while kLoaded and kActive
    uint64_t memory_bytes = 0;
    bool keep = false;  // stays in memory until it is unloaded
    absl::StatusOr<model::Manifest> manifest = absl::UnknownError("the manifest was not read");
    std::optional<FileStamp> manifest_stamp;
    absl::Time activated = absl::InfinitePast();
    // An error keeps the version out of memory: the thresholds that it was published with may let
    // defects pass that the unreadable ones would find.
    absl::StatusOr<RecalibrationsInForce> recalibrated = nullptr;
    std::optional<FileStamp> thresholds_stamp;

    // Of the manifest; "" when it cannot be read.
    std::string hash() const { return manifest.ok() ? manifest->hash : ""; }
    // Takes the version out of memory.
    ModelHandle TakeHandle();
  };

  struct Model {
    std::map<std::string, Version> versions;
    absl::StatusOr<std::string> active = absl::NotFoundError("it has no version");
    bool decided = false;  // `active` no longer follows the store

    std::vector<std::string> NewestFirst() const;
  };

  // Null when unknown.
  const Version* Find(const std::string& name, const std::string& version) const;
  Version* Find(const std::string& name, const std::string& version);

  // The name and version that `wanted` means; the version may be unknown when the store has lost
  // it.
  //   NOT_FOUND            MODEL_NOT_FOUND; the message lists a bounded number of known ones
  //   FAILED_PRECONDITION  VERSION_REPLACED: the active version was replaced in the store
  absl::StatusOr<std::pair<std::string, std::string>> Resolve(const ModelName& wanted) const;

  std::vector<std::string> Names() const;

  // Replaces the set of versions by `stored`; `read` has the manifests that are new or have changed.
  // Keeps the entries of versions with the same hash, versions in memory though the store has lost
  // them, and the active version of a model that is `decided`. Ignores a manifest when the table has
  // another stamp than its `known_stamp`: another scan was faster. A version in memory with another
  // hash than in the store leaves memory and is returned; if it was active, its model has no active
  // version any more.
  std::vector<ReplacedInStore> Merge(const std::vector<StoredModel>& stored, ReadManifests read);

  std::map<std::string, Model> models;

 private:
  // Takes a manifest that was read into a known entry.
  static void Refresh(const std::string& name, const std::string& version, ReadManifest read,
                      Model& model, Version& entry, std::vector<ReplacedInStore>& replaced);
};

}  // namespace proad::server
