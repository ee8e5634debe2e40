// Which model versions there are, which are in memory, and which of them answers a name; changes
// that under load.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/serving/model_store.h"
#include "server/serving/servable_model.h"
#include "server/telemetry/metrics.h"
#include "server/util/mutex.h"

namespace proad::server {

// What a version is doing.
enum class ModelState {
  kStored,   // in the store, not in memory
  kLoading,  // on its way into memory
  kActive,   // in memory, and serves its name
  kFailed,   // could not be read or loaded
};

// One version, for people.
struct ListedVersion {
  std::string name;
  std::string version;
  ModelState state = ModelState::kStored;
  absl::Status problem;                         // why kFailed; OK otherwise
  bool is_default = false;                      // requests that name no model go to it
  std::optional<model::Manifest> manifest;      // nullopt: cannot be read
  absl::Time activated = absl::InfinitePast();  // when it became active
};

// "name" or "name@version", taken apart.
struct ModelName {
  std::string name;
  std::string version;  // "": the active one

  // INVALID_ARGUMENT (field "model", MODEL_NAME_INVALID).
  static absl::StatusOr<ModelName> Parse(absl::string_view text);
};

// One version that came to serve a name in place of another.
struct ModelSwap {
  std::string version;
  std::string hash;
  std::string previous;  // served before; "": none
  std::string previous_hash;
  absl::Duration took;                   // from the request to the swap
  std::optional<double> probe_score;     // nullopt: no probe, or nothing had to be loaded
  std::optional<double> expected_score;  // of the probe, when the version was published
};

// Thread-safety: all methods may be called from any thread; LoadActive from one at a time.
class ModelRegistry {
 public:
  struct Options {
    // Answers requests that name no model. "": the model of the store when it holds exactly one.
    std::string default_model;
  };

  ModelRegistry(const Options& options, const ModelStore& store, ModelLoader loader,
                Metrics& metrics);
  ModelRegistry(const ModelRegistry&) = delete;
  ModelRegistry& operator=(const ModelRegistry&) = delete;

  // Learns what the store holds; versions that are in memory stay there. Touches the disk.
  absl::Status Scan();

  // Loads the active version of every model that the last Scan found, the default first. A version
  // that fails is logged, kept as kFailed and disturbs no other. Calls `changed` after each, from
  // this thread. Blocks; returns after the present version once Stop was called.
  void LoadActive(absl::FunctionRef<void()> changed);
  void Stop();

  // Makes a version the one that serves its name: loads it beside the one that serves now, writes
  // the choice down in the store, swaps by one assignment. Requests that were admitted before end
  // on the version that they hold. Whatever goes wrong, nothing changes. One version is loaded at a
  // time: waits for those before. Scans first, so a version or name published meanwhile is found.
  // To activate the active version is OK.
  //   NOT_FOUND    unknown name or version; lists what there is, bounded
  //   ABORTED      ACTIVE_VERSION_CHANGED: another version is active than `expected_active`; "":
  //                none may be, nullopt: whatever is
  //   UNAVAILABLE  stopped
  //   else         as the loader, or RESOURCE_EXHAUSTED when the store's disk is full
  absl::StatusOr<ModelSwap> Activate(const std::string& name, const std::string& version,
                                     const std::optional<std::string>& expected_active);

  // The version that answers `model`: "" (the default), "name" or "name@version". Never touches the
  // disk.
  //   INVALID_ARGUMENT     not a name, or "" where several models are stored and none is the
  //                        default
  //   NOT_FOUND            unknown; lists what there is, bounded
  //   FAILED_PRECONDITION  known and not in memory, with the reason
  //   UNAVAILABLE          on its way into memory; or `model` is "" and the default is not ready
  absl::StatusOr<ModelHandle> Acquire(absl::string_view model) const;

  // Whether requests that name no model are answered; without a default model, whether all loading
  // has ended and at least one model is active.
  bool Ready() const;

  // Every version, by name, then newest first. Scans first, so versions published meanwhile are
  // seen.
  absl::StatusOr<std::vector<ListedVersion>> List();

  // One version, as Acquire finds it, whatever its state. Scans first.
  //   INVALID_ARGUMENT, NOT_FOUND  as Acquire; NOT_FOUND also for a name without an active version
  absl::StatusOr<ListedVersion> Find(absl::string_view model);

 private:
  struct Version {
    ModelState state = ModelState::kStored;
    absl::Status problem;
    ModelHandle handle;  // set while kActive
    absl::StatusOr<model::Manifest> manifest = absl::UnknownError("");
    absl::Time activated = absl::InfinitePast();
  };
  struct Model {
    std::map<std::string, Version> versions;
    absl::StatusOr<std::string> active =
        absl::NotFoundError("");  // as ModelStore says at the start
    bool settled = false;  // LoadActive went by it: `active` does not follow the store any more
  };

  // Held while a version is loaded; waits for whoever holds it.
  class LoadTurn;

  void Load(const std::string& name, const std::string& version);
  absl::Status CheckActivation(const std::string& name, const std::string& version,
                               const std::optional<std::string>& expected_active) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Loads a version that does not serve and writes it down as the active one.
  absl::StatusOr<ModelHandle> Prepare(const std::string& name, const std::string& version);
  ModelSwap SwapIn(const std::string& name, const std::string& version, ModelHandle loaded);
  absl::StatusOr<ModelHandle> LoadChecked(const std::string& name, const std::string& version);
  absl::StatusOr<ModelHandle> AcquireDefault() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::pair<std::string, std::string>> Resolve(const ModelName& wanted) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  ListedVersion Listed(const std::string& name, const std::string& version,
                       const Version& entry) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static std::vector<std::string> NewestFirst(const Model& model);

  const Options options_;
  const ModelStore& store_;
  const ModelLoader loader_;
  Metrics& metrics_;

  mutable Mutex mutex_;
  CondVar load_turn_over_;
  bool load_turn_taken_ ABSL_GUARDED_BY(mutex_) = false;
  // Options::default_model; without one the only model with versions of the first Scan that found
  // exactly one.
  std::string default_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Model> models_ ABSL_GUARDED_BY(mutex_);
  bool loading_ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace proad::server
