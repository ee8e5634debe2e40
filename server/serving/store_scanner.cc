#include "server/serving/store_scanner.h"

#include <filesystem>
#include <set>
#include <utility>
#include <vector>

#include "server/serving/recalibration.h"
#include "server/telemetry/log.h"

namespace proad::server {

StoreScanner::StoreScanner(const ModelStore& store, ModelCatalog& catalog)
    : store_(store), catalog_(catalog) {}

absl::Status StoreScanner::Scan() {
  const absl::StatusOr<std::vector<StoredModel>> stored = store_.List();
  if (!stored.ok()) return stored.status();
  std::set<std::pair<std::string, std::string>> known;
  for (const KnownVersion& version : catalog_.Known()) known.emplace(version.name, version.version);
  ReadManifests read;
  for (const StoredModel& model : *stored) {
    for (const std::string& version : model.versions) {
      if (known.contains({model.name, version})) continue;
      read.emplace(std::make_pair(model.name, version), store_.ReadManifest(model.name, version));
    }
  }
  catalog_.Update(*stored, std::move(read));
  ScanThresholds();
  return absl::OkStatus();
}

void StoreScanner::ScanThresholds() {
  for (const KnownVersion& known : catalog_.Known()) {
    if (known.hash.empty()) continue;
    const std::filesystem::path file =
        RecalibrationFile(store_.root() / known.name / known.version);
    const std::optional<FileStamp> stamp = StampOf(file);
    if (stamp == known.thresholds_stamp) continue;
    absl::StatusOr<Recalibrations> read = ReadRecalibrations(file, known.hash);
    if (read.ok()) {
      Log(LogLevel::kInfo, "thresholds changed",
          {{"model", known.name}, {"version", known.version}, {"categories", read->size()}});
    } else {
      Log(LogLevel::kError, "thresholds cannot be read",
          {{"model", known.name}, {"version", known.version}, {"reason", read.status()}});
    }
    catalog_.SetThresholds(known, stamp, std::move(read));
  }
}

}  // namespace proad::server
