#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/serving/load_turn.h"
#include "server/serving/model_registry.h"
#include "server/telemetry/log.h"

namespace proad::server {

RecalibrationsInForce ModelRegistry::InForce(const ServableModel& model) const {
  const model::Manifest& manifest = model.manifest();
  MutexLock lock(mutex_);
  const auto found = models_.find(manifest.name);
  if (found == models_.end()) return nullptr;
  const auto entry = found->second.versions.find(manifest.version);
  if (entry == found->second.versions.end()) return nullptr;
  return entry->second.recalibrated.value_or(nullptr);
}

absl::Status ModelRegistry::Recalibrate(const std::string& name, const std::string& version,
                                        const Recalibrations& recalibrations) {
  const LoadTurn turn(*this);
  if (absl::Status known = BeginChange(turn, name, version); !known.ok()) return known;
  const absl::StatusOr<std::filesystem::path> directory = store_.Directory(name, version);
  if (!directory.ok()) return directory.status();
  Recalibrations merged = recalibrations;
  std::string hash;
  {
    MutexLock lock(mutex_);
    const Version& entry = models_[name].versions[version];
    if (!entry.manifest.ok()) return entry.manifest.status();
    if (!entry.recalibrated.ok()) return entry.recalibrated.status();
    hash = entry.manifest->hash;
    if (*entry.recalibrated != nullptr) {
      merged.insert((*entry.recalibrated)->begin(), (*entry.recalibrated)->end());
    }
  }
  const absl::Status written = WriteRecalibrations(RecalibrationFile(*directory), hash, merged);
  if (!written.ok()) return written;
  RefreshRecalibrations();
  return absl::OkStatus();
}

void ModelRegistry::RefreshRecalibrations() {
  struct Look {
    std::string name, version, hash;
    std::optional<FileStamp> stamp;
  };
  std::vector<Look> looks;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, model] : models_) {
      for (const auto& [version, entry] : model.versions) {
        if (!entry.manifest.ok()) continue;
        looks.push_back({name, version, entry.manifest->hash, entry.recalibrated_stamp});
      }
    }
  }
  for (const Look& look : looks) {
    const std::filesystem::path file = RecalibrationFile(store_.root() / look.name / look.version);
    const std::optional<FileStamp> stamp = StampOf(file);
    if (stamp == look.stamp) continue;
    absl::StatusOr<Recalibrations> read = ReadRecalibrations(file, look.hash);
    if (read.ok()) {
      Log(LogLevel::kInfo, "thresholds changed",
          {{"model", look.name}, {"version", look.version}, {"categories", read->size()}});
    } else {
      Log(LogLevel::kError, "thresholds cannot be read",
          {{"model", look.name}, {"version", look.version}, {"reason", read.status()}});
    }
    TakeIn(look.name, look.version, look.stamp, stamp, std::move(read));
  }
}

void ModelRegistry::TakeIn(const std::string& name, const std::string& version,
                           const std::optional<FileStamp>& before,
                           const std::optional<FileStamp>& now,
                           absl::StatusOr<Recalibrations> read) {
  MutexLock lock(mutex_);
  const auto model = models_.find(name);
  if (model == models_.end()) return;
  const auto found = model->second.versions.find(version);
  if (found == model->second.versions.end()) return;
  Version& entry = found->second;
  // Somebody else has looked meanwhile, perhaps later.
  if (entry.recalibrated_stamp != before) return;
  entry.recalibrated_stamp = now;
  if (read.ok()) {
    entry.recalibrated = std::make_shared<const Recalibrations>(*std::move(read));
  } else if (entry.handle == nullptr) {  // what serves goes on with what it has
    entry.recalibrated = read.status();
  }
}

}  // namespace proad::server
