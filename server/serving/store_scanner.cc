#include "server/serving/store_scanner.h"

#include <filesystem>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "server/serving/recalibration.h"
#include "server/telemetry/log.h"

namespace proad::server {

StoreScanner::StoreScanner(const ModelStore& store, ModelCatalog& catalog, Metrics& metrics)
    : store_(store), catalog_(catalog), metrics_(metrics) {}

absl::Status StoreScanner::Scan() {
  const absl::StatusOr<std::vector<StoredModel>> stored = store_.List();
  if (!stored.ok()) return stored.status();
  std::map<std::pair<std::string, std::string>, std::optional<FileStamp>> known;
  for (const KnownVersion& version : catalog_.Known()) {
    known[{version.name, version.version}] = version.manifest_stamp;
  }
  ReadManifests read;
  for (const StoredModel& model : *stored) {
    for (const std::string& version : model.versions) {
      // The stamp first: a manifest that changes in between is read again by the next scan.
      const std::optional<FileStamp> stamp =
          StampOf(store_.root() / model.name / version / model::kManifestFile);
      const auto before = known.find({model.name, version});
      if (before != known.end() && before->second == stamp) continue;
      read[{model.name, version}] = {
          .manifest = store_.ReadManifest(model.name, version),
          .stamp = stamp,
          .known_stamp = before == known.end() ? std::nullopt : before->second};
    }
  }
  for (ReplacedInStore& replaced : catalog_.Update(*stored, std::move(read))) {
    replaced.handle.reset();
    if (replaced.active) metrics_.ClearModelInfo(replaced.name, replaced.version, replaced.hash);
    Log(LogLevel::kError, "model version was replaced in the store and left memory",
        {{"model", replaced.name},
         {"version", replaced.version},
         {"hash", replaced.hash},
         {"stored_hash", replaced.stored_hash},
         {"active", replaced.active}});
  }
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
