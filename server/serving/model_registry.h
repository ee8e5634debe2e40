// Which model versions there are, which are in memory, and which of them answers a name; changes
// that under load (model_lifecycle.cc).
#pragma once

#include <cstdint>
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
#include "server/serving/memory_room.h"
#include "server/serving/model_store.h"
#include "server/serving/recalibration.h"
#include "server/serving/servable_model.h"
#include "server/telemetry/metrics.h"
#include "server/util/mutex.h"

namespace proad::server {

// What a version is doing.
enum class ModelState {
  kStored,   // in the store, not in memory
  kLoading,  // on its way into memory
  kLoaded,   // in memory, and answers to its full name
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
  uint64_t memory_bytes = 0;                    // that its weights take; 0 when not in memory
  RecalibrationsInForce recalibrated;           // null: as published
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

// One version that is in memory.
struct LoadedVersion {
  ModelHandle handle;
  ModelState state = ModelState::kLoaded;  // or kActive
  std::optional<absl::Duration> took;      // to load it; nullopt: it was in memory already
};

// One version that is not in memory any more, or not in the store.
struct ReleasedVersion {
  std::string hash;          // "": not known
  uint64_t freed_bytes = 0;  // once the last request that holds it is answered
};

// Thread-safety: all methods may be called from any thread; LoadActive from one at a time.
class ModelRegistry {
 public:
  struct Options {
    // Answers requests that name no model. "": the model of the store when it holds exactly one.
    std::string default_model;
    // Bytes that loading a version must leave available, in every place.
    int64_t memory_reserve = 256 << 20;
    // Where loading takes memory; what serves is in the last.
    std::vector<MemoryPlace> memory = {{"cpu", HostMemory}};
    // Between looks at what servers that share the store decide; zero: never looks. For whoever
    // calls Follow.
    absl::Duration follow_interval = absl::Seconds(2);
  };

  ModelRegistry(const Options& options, const ModelStore& store, ModelLoader loader,
                Metrics& metrics);
  ModelRegistry(const ModelRegistry&) = delete;
  ModelRegistry& operator=(const ModelRegistry&) = delete;

  // Learns what the store holds, thresholds included; versions that are in memory stay there.
  // Touches the disk.
  absl::Status Scan();

  // Loads the active version of every model that the last Scan found, the default first. A version
  // that fails is logged, kept as kFailed and disturbs no other. Calls `changed` after each, from
  // this thread. Blocks; returns after the present version once Stop was called.
  void LoadActive(absl::FunctionRef<void()> changed);
  void Stop();

  // Makes a version the one that serves its name: loads it beside the one that serves now unless it
  // is in memory, writes the choice down in the store, swaps by one assignment. Requests that were
  // admitted before end on the version that they hold. Whatever goes wrong, nothing changes. The
  // version that served stays in memory until the next swap of its name, to come back at once, or
  // until its memory is needed. One version is loaded at a time: waits for those before. Scans
  // first, so a version or name published meanwhile is found. To activate the active version is OK.
  //   NOT_FOUND           unknown name or version; lists what there is, bounded
  //   ABORTED             ACTIVE_VERSION_CHANGED: another version is active than `expected_active`;
  //                       "": none may be, nullopt: whatever is
  //   RESOURCE_EXHAUSTED  MODEL_DOES_NOT_FIT, before anything is loaded: too little memory beside
  //                       what must stay; the message has both sizes. Or the store's disk is full
  //   UNAVAILABLE         stopped
  //   else                as the loader
  absl::StatusOr<ModelSwap> Activate(const std::string& name, const std::string& version,
                                     const std::optional<std::string>& expected_active);

  // Looks which thresholds there are and which versions the store's pointers name, and makes those
  // serve that do not, as Activate does but for writing: how the servers that share a store agree.
  // A version that does not load leaves things as they are and is tried again, after longer and
  // longer pauses, or when the pointer changes. Does nothing until LoadActive has returned; names
  // without a pointer are left as they are. `now` decides what is due again. True when another
  // version serves now than before.
  bool Follow(absl::Time now);

  // Brings a version into memory without letting it serve its name; it stays there until Unload.
  // One that is in memory already is left as it is. Waits and scans as Activate.
  //   NOT_FOUND, UNAVAILABLE, else  as Activate
  absl::StatusOr<LoadedVersion> Load(const std::string& name, const std::string& version);

  // Takes a version out of memory; requests that hold it end on it first. One that is not there is
  // left as it is. Waits and scans as Activate.
  //   NOT_FOUND            as Activate
  //   FAILED_PRECONDITION  MODEL_ACTIVE: it serves its name
  absl::StatusOr<ReleasedVersion> Unload(const std::string& name, const std::string& version);

  // Removes a version that is not in memory from the store. Waits and scans as Activate.
  //   NOT_FOUND            as Activate
  //   FAILED_PRECONDITION  MODEL_ACTIVE or MODEL_LOADED: it is in use
  //   INTERNAL             the system refuses
  absl::StatusOr<ReleasedVersion> Delete(const std::string& name, const std::string& version);

  // The version that served `name` before the one that does, which is in the answer as well.
  //   NOT_FOUND            unknown name
  //   FAILED_PRECONDITION  NO_VERSION_BEFORE
  absl::StatusOr<ReplacedVersion> Replaced(const std::string& name);

  // The version that answers `model`: "" (the default), "name" or "name@version". Never touches the
  // disk.
  //   INVALID_ARGUMENT     not a name, or "" where several models are stored and none is the
  //                        default
  //   NOT_FOUND            unknown; lists what there is, bounded
  //   FAILED_PRECONDITION  known and not in memory, with the reason
  //   UNAVAILABLE          on its way into memory; or `model` is "" and the default is not ready
  absl::StatusOr<ModelHandle> Acquire(absl::string_view model) const;

  // What Calibrate set for a version that Acquire gave, as of now; null: nothing. Never touches the
  // disk.
  RecalibrationsInForce InForce(const ServableModel& model) const;

  // Puts thresholds into force for a version, in place of those of the same categories that it had,
  // and writes them down beside it. Waits and scans as Activate.
  //   NOT_FOUND, UNAVAILABLE  as Activate
  //   RESOURCE_EXHAUSTED      the store's disk is full
  //   DATA_LOSS               what was there, or the version's manifest, cannot be read
  absl::Status Recalibrate(const std::string& name, const std::string& version,
                           const Recalibrations& recalibrations);

  // Whether requests that name no model are answered; without a default model, whether all loading
  // has ended and at least one model is active.
  bool Ready() const;

  // That the weights of every version in memory take.
  uint64_t memory_bytes() const;

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
    ModelHandle handle;      // set while kLoaded and kActive
    bool requested = false;  // by Load: a swap does not let it go
    absl::StatusOr<model::Manifest> manifest = absl::UnknownError("");
    absl::Time activated = absl::InfinitePast();
    // As the file beside it says. An error keeps a version out of memory: the thresholds that it
    // was published with may let pass what somebody decided must not.
    absl::StatusOr<RecalibrationsInForce> recalibrated = nullptr;
    std::optional<FileStamp> recalibrated_stamp;
  };
  // A pointer that could not be followed.
  struct Failure {
    std::string version;  // that it names; "": there is no failure
    std::string problem;
    int attempts = 0;
    absl::Time again;  // when to try again
  };
  struct Model {
    std::map<std::string, Version> versions;
    absl::StatusOr<std::string> active =
        absl::NotFoundError("");  // as ModelStore says at the start
    bool settled = false;  // LoadActive went by it: `active` does not follow the store any more
    Failure failure;       // of the version that its pointer names
  };

  // Held while a version is loaded; waits for whoever holds it.
  class LoadTurn;

  void LoadAtStart(const std::string& name, const std::string& version);
  // What every change begins with, in its turn: a scan, and whether there is such a version.
  absl::Status BeginChange(const LoadTurn& turn, const std::string& name,
                           const std::string& version);
  absl::Status MergeStored();
  void PickDefault() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Reads the files of thresholds that have changed.
  void RefreshRecalibrations();
  // Of one version: what was read of its file, whose stamp was `before` and is `now`.
  void TakeIn(const std::string& name, const std::string& version,
              const std::optional<FileStamp>& before, const std::optional<FileStamp>& now,
              absl::StatusOr<Recalibrations> read);
  // As Activate and Follow: brings the version in, calls `decide`, swaps. `decide` failing undoes
  // it.
  absl::StatusOr<ModelSwap> Swap(const std::string& name, const std::string& version,
                                 absl::Time start, absl::FunctionRef<absl::Status()> decide);
  // Of Follow: whether the pointer of `name`, which says `pointed`, wants to be acted upon.
  bool IsDue(const std::string& name, const absl::StatusOr<std::string>& pointed, absl::Time now);
  bool FollowTo(const std::string& name, const std::string& version, absl::Time now);
  void CountFailure(Model& model, const std::string& version, const absl::Status& problem,
                    absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckExpected(const std::string& name,
                             const std::optional<std::string>& expected_active)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Loads a version unless it is in memory.
  absl::StatusOr<LoadedVersion> BringIn(const std::string& name, const std::string& version);
  absl::StatusOr<ModelHandle> LoadFitting(const std::string& name, const std::string& version,
                                          const absl::StatusOr<model::Manifest>& manifest);
  // Whether a version fits beside what must stay; lets go of what need not.
  absl::Status MakeRoom(const model::Manifest& manifest);
  // The place with the least left, and how much.
  std::pair<std::string, uint64_t> Available() const;
  // Takes the version out that was only kept to come back at once, the least recent; null: none.
  ModelHandle TakeOutKept();
  // The other way; the handle is the caller's to let go, outside the lock.
  ModelHandle TakeOut(Version& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  ModelSwap SwapIn(const std::string& name, const std::string& version,
                   const LoadedVersion& loaded);
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
