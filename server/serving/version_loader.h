// Loads versions into memory: one at a time, and only when they fit.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/serving/memory_room.h"
#include "server/serving/model_catalog.h"
#include "server/serving/model_store.h"
#include "server/serving/servable_model.h"
#include "server/telemetry/metrics.h"
#include "server/util/mutex.h"

namespace proad::server {

// Thread-safety: all methods may be called from any thread. Every collaborator must outlive it.
class VersionLoader {
 public:
  struct Options {
    // Bytes that must stay available in every place after a version is loaded.
    int64_t memory_reserve = 256 << 20;
    // The places where loading takes memory.
    std::vector<MemoryPlace> memory = {{"cpu", HostMemory}};
  };

  VersionLoader(Options options, const ModelStore& store, ModelLoader load, ModelCatalog& catalog,
                Metrics& metrics);
  VersionLoader(const VersionLoader&) = delete;
  VersionLoader& operator=(const VersionLoader&) = delete;

  // The right to load versions and to change what is in memory. One exists at a time: the
  // constructor blocks until the holder before it is destroyed, or until Stop.
  class Permit {
   public:
    explicit Permit(VersionLoader& loader);
    ~Permit();
    Permit(const Permit&) = delete;
    Permit& operator=(const Permit&) = delete;

    // UNAVAILABLE (DRAINING) after Stop: the holder must not change anything.
    absl::Status status() const;

   private:
    VersionLoader& loader_;
    bool granted_ = false;
  };

  // Loads a known version into memory unless it is there; the catalog then has it as kLoaded.
  // A version that does not load becomes kFailed, and the error is logged.
  //   RESOURCE_EXHAUSTED  MODEL_DOES_NOT_FIT, before anything is loaded: too little memory, even
  //                       after versions that only wait for a rollback have left it; the message
  //                       and the metadata have both sizes
  //   FAILED_PRECONDITION VERSION_REPLACED: the version was replaced in the store during the load
  //   else                as ModelStore::ReadManifest, ModelCatalog::Thresholds and the ModelLoader
  absl::StatusOr<LoadedVersion> Load(const Permit& permit, const std::string& name,
                                     const std::string& version);

  // Grants no more permits. A load in progress ends normally. Idempotent.
  void Stop();
  bool stopped() const;

 private:
  absl::StatusOr<ModelHandle> LoadFitting(const std::string& name, const std::string& version,
                                          const absl::StatusOr<model::Manifest>& manifest);
  absl::Status MakeRoom(const model::Manifest& manifest);
  // The place with the least available memory, and the bytes available there.
  std::pair<std::string, uint64_t> LeastAvailable() const;

  const Options options_;
  const ModelStore& store_;
  const ModelLoader load_;
  ModelCatalog& catalog_;
  Metrics& metrics_;

  mutable Mutex mutex_;
  CondVar permit_free_;
  bool permit_taken_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace proad::server
