// Brings the catalog up to date with the model store on disk.
#pragma once

#include "absl/status/status.h"
#include "server/serving/model_catalog.h"
#include "server/serving/model_store.h"
#include "server/telemetry/metrics.h"

namespace proad::server {

// Thread-safety: all methods may be called from any thread. Every collaborator must outlive it.
class StoreScanner {
 public:
  StoreScanner(const ModelStore& store, ModelCatalog& catalog, Metrics& metrics);
  StoreScanner(const StoreScanner&) = delete;
  StoreScanner& operator=(const StoreScanner&) = delete;

  // Reads which versions the store has, and the manifests and thresholds that are new or have
  // changed. A version in memory that was replaced in the store leaves memory, with a line of log.
  // As ModelStore::List.
  absl::Status Scan();

  // Reads the thresholds files of known versions that have changed. An unreadable file is logged;
  // ModelCatalog::SetThresholds says what it means for its version.
  void ScanThresholds();

 private:
  const ModelStore& store_;
  ModelCatalog& catalog_;
  Metrics& metrics_;
};

}  // namespace proad::server
