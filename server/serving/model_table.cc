#include "server/serving/model_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

absl::Status NotFound(absl::string_view message) {
  return MakeError(absl::StatusCode::kNotFound, message,
                   {.reason = reason::kModelNotFound, .field = "model"});
}

absl::Status ReplacedError(const std::string& name, const std::string& version,
                           const std::string& hash, const std::string& stored_hash) {
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   absl::StrCat(FullName(name, version), " with hash ", hash,
                                " was replaced in the store by a version with hash ", stored_hash,
                                "; activate the version that should serve"),
                   {.reason = reason::kVersionReplaced, .field = "model"});
}

}  // namespace

ModelHandle ModelTable::Version::TakeHandle() {
  if (state == ModelState::kLoaded) state = ModelState::kStored;
  keep = false;
  memory_bytes = 0;
  return std::exchange(handle, nullptr);
}

std::vector<std::string> ModelTable::Model::NewestFirst() const {
  std::vector<std::string> newest_first;
  for (const auto& [version, entry] : versions) newest_first.push_back(version);
  std::sort(newest_first.begin(), newest_first.end(),
            [](const auto& a, const auto& b) { return VersionLess(b, a); });
  return newest_first;
}

const ModelTable::Version* ModelTable::Find(const std::string& name,
                                            const std::string& version) const {
  const auto model = models.find(name);
  if (model == models.end()) return nullptr;
  const auto entry = model->second.versions.find(version);
  return entry == model->second.versions.end() ? nullptr : &entry->second;
}

ModelTable::Version* ModelTable::Find(const std::string& name, const std::string& version) {
  return const_cast<Version*>(std::as_const(*this).Find(name, version));
}

std::vector<std::string> ModelTable::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, model] : models) names.push_back(name);
  return names;
}

absl::StatusOr<std::pair<std::string, std::string>> ModelTable::Resolve(
    const ModelName& wanted) const {
  const auto model = models.find(wanted.name);
  if (model == models.end()) {
    return NotFound(
        absl::StrCat("no model ", Quote(wanted.name), "; there are: ", Enumerate(Names())));
  }
  if (wanted.version.empty()) {
    const absl::Status active = model->second.active.status();
    if (absl::IsFailedPrecondition(active)) return active;
    if (!active.ok()) {
      return NotFound(
          absl::StrCat("model ", Quote(wanted.name), " has no active version: ", active.message()));
    }
    return std::make_pair(wanted.name, *model->second.active);
  }
  if (!model->second.versions.contains(wanted.version)) {
    return NotFound(absl::StrCat("model ", Quote(wanted.name), " has no version ",
                                 Quote(wanted.version),
                                 "; there are: ", Enumerate(model->second.NewestFirst())));
  }
  return std::make_pair(wanted.name, wanted.version);
}

void ModelTable::Refresh(const std::string& name, const std::string& version, ReadManifest read,
                         Model& model, Version& entry, std::vector<ReplacedInStore>& replaced) {
  // The loader reads the manifest itself; the next scan compares again.
  if (entry.state == ModelState::kLoading) return;
  entry.manifest_stamp = read.stamp;
  const std::string stored_hash = read.manifest.ok() ? read.manifest->hash : "";
  if (entry.handle != nullptr) {
    // A damaged manifest does not tell whether the version was replaced.
    if (stored_hash.empty() || stored_hash == entry.hash()) return;
    const bool active = entry.state == ModelState::kActive;
    if (active) model.active = ReplacedError(name, version, entry.hash(), stored_hash);
    replaced.push_back({name, version, entry.hash(), stored_hash, active, entry.TakeHandle()});
  }
  const std::optional<FileStamp> stamp = entry.manifest_stamp;
  entry = Version();
  entry.manifest = std::move(read.manifest);
  entry.manifest_stamp = stamp;
  if (entry.manifest.ok()) return;
  entry.state = ModelState::kFailed;
  entry.problem = entry.manifest.status();
}

std::vector<ReplacedInStore> ModelTable::Merge(const std::vector<StoredModel>& stored,
                                               ReadManifests read) {
  std::vector<ReplacedInStore> replaced;
  std::map<std::string, Model> merged;
  for (const StoredModel& from : stored) {
    Model& model = merged[from.name];
    model.active = from.active;
    if (const auto known = models.find(from.name); known != models.end() && known->second.decided) {
      model.active = known->second.active;
      model.decided = true;
    }
    for (const std::string& version : from.versions) {
      Version* const known = Find(from.name, version);
      const auto found = read.find({from.name, version});
      if (known == nullptr && found == read.end()) continue;
      Version& entry = model.versions[version];
      if (known != nullptr) {
        entry = std::move(*known);
        models[from.name].versions.erase(version);
      }
      if (found == read.end()) continue;
      if (known != nullptr && entry.manifest_stamp != found->second.known_stamp) continue;
      Refresh(from.name, version, std::move(found->second), model, entry, replaced);
    }
  }
  for (auto& [name, model] : models) {
    for (auto& [version, entry] : model.versions) {
      if (entry.handle == nullptr && entry.state != ModelState::kLoading) continue;
      if (!merged.contains(name)) {
        merged[name].active = model.active;
        merged[name].decided = model.decided;
      }
      merged[name].versions[version] = std::move(entry);
    }
  }
  models = std::move(merged);
  return replaced;
}

}  // namespace proad::server
