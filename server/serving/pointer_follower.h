// Makes the versions that the store's pointers name serve: at the start, and whenever another
// server that shares the store has changed a pointer.
#pragma once

#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/serving/model_catalog.h"
#include "server/serving/model_lifecycle.h"
#include "server/serving/model_store.h"
#include "server/serving/store_scanner.h"
#include "server/serving/version_loader.h"
#include "server/util/mutex.h"

namespace proad::server {

// Thread-safety: Follow may be called from any thread, LoadActive once. Every collaborator must
// outlive it.
class PointerFollower {
 public:
  PointerFollower(const ModelStore& store, StoreScanner& scanner, ModelCatalog& catalog,
                  const VersionLoader& loader, ModelLifecycle& lifecycle);
  PointerFollower(const PointerFollower&) = delete;
  PointerFollower& operator=(const PointerFollower&) = delete;

  // Loads the active version of every model of the catalog, the default model first. A version that
  // does not load is logged, becomes kFailed and affects no other. Calls `changed` after each
  // model, from this thread. Blocks; returns early after VersionLoader::Stop.
  void LoadActive(absl::FunctionRef<void()> changed);

  // Scans the store, and activates the versions that the pointers name but that are not active. A version that does not load leaves the active one in place; it is
  // tried again after increasing pauses, or when the pointer changes. Models without a pointer are
  // left as they are, and so are those whose pointer names a version to start with. Does nothing
  // until LoadActive has returned. `now` decides which retries are due. Returns whether an active
  // version has changed, or left memory because it was replaced in the store.
  bool Follow(absl::Time now);

 private:
  // A pointer that could not be followed.
  struct Failure {
    PointedVersion pointed;  // empty: the pointer itself is damaged
    std::string problem;
    int attempts = 0;
    absl::Time next_attempt;
  };

  // Whether to activate the version that the pointer of `name` names.
  bool IsDue(const std::string& name, const absl::StatusOr<VersionPointer>& pointer,
             absl::Time now);
  // Returns whether `problem` is another one than before.
  bool RecordFailure(const std::string& name, const PointedVersion& pointed,
                     const absl::Status& problem, absl::Time now);
  void ClearFailure(const std::string& name);

  const ModelStore& store_;
  StoreScanner& scanner_;
  ModelCatalog& catalog_;
  const VersionLoader& loader_;
  ModelLifecycle& lifecycle_;

  Mutex mutex_;
  std::map<std::string, Failure> failures_ ABSL_GUARDED_BY(mutex_);  // by model name
  uint64_t active_replaced_ ABSL_GUARDED_BY(mutex_) = 0;             // of the catalog, as last seen
};

}  // namespace proad::server
