// Brings the catalog up to date with the model store on disk.
#pragma once

#include "absl/status/status.h"
#include "server/serving/model_catalog.h"
#include "server/serving/model_store.h"

namespace proad::server {

// Thread-safety: all methods may be called from any thread. The store and the catalog must outlive
// it.
class StoreScanner {
 public:
  StoreScanner(const ModelStore& store, ModelCatalog& catalog);
  StoreScanner(const StoreScanner&) = delete;
  StoreScanner& operator=(const StoreScanner&) = delete;

  // Reads which versions the store has, the manifests of new versions, and the thresholds that have
  // changed. As ModelStore::List.
  absl::Status Scan();

  // Reads the thresholds files of known versions that have changed. An unreadable file is logged;
  // ModelCatalog::SetThresholds says what it means for its version.
  void ScanThresholds();

 private:
  const ModelStore& store_;
  ModelCatalog& catalog_;
};

}  // namespace proad::server
