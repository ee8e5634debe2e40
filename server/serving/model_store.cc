#include "server/serving/model_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/files/atomic_file.h"
#include "model/files/directory_lock.h"
#include "model/files/error.h"
#include "model/spec/manifest.h"
#include "model/spec/version_directory.h"
#include "server/serving/model_name.h"
#include "server/serving/recalibration.h"
#include "server/util/exception_status.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

// Whether `path`, links resolved, is in `root`.
bool IsInside(const fs::path& root, const fs::path& path) {
  std::error_code error;
  const fs::path real_root = fs::canonical(root, error);
  if (error) return false;
  const fs::path real_path = fs::canonical(path, error);
  if (error) return false;
  return std::mismatch(real_root.begin(), real_root.end(), real_path.begin(), real_path.end())
             .first == real_root.end();
}

absl::Status InvalidName(const std::string& name) {
  return absl::InvalidArgumentError(absl::StrCat(Quote(name), " is not a valid model name"));
}

}  // namespace

ModelStore::ModelStore(fs::path root) : root_(std::move(root)) {}

absl::StatusOr<std::vector<StoredModel>> ModelStore::List() const {
  const absl::StatusOr<std::vector<std::string>> names = Names();
  if (!names.ok()) return names.status();
  std::vector<StoredModel> models;
  try {
    for (const std::string& name : *names) {
      StoredModel& stored = models.emplace_back();
      stored.name = name;
      stored.versions = Versions(name);
      stored.active = ActiveVersion(name, stored.versions);
    }
  } catch (...) {
    return StatusOfCurrentException();
  }
  return models;
}

absl::StatusOr<std::vector<std::string>> ModelStore::Names() const {
  std::error_code error;
  if (!fs::is_directory(root_, error)) {
    return absl::NotFoundError(
        absl::StrCat("the model store ", root_.string(), " is not a directory"));
  }
  std::vector<std::string> names;
  try {
    for (std::string& name : model::ListNames(root_)) {
      if (IsInside(root_, root_ / name)) names.push_back(std::move(name));
    }
  } catch (...) {
    return StatusOfCurrentException();
  }
  return names;
}

absl::StatusOr<fs::path> ModelStore::Directory(const std::string& name,
                                               const std::string& version) const {
  const fs::path directory = root_ / name / version;
  std::error_code error;
  if (!model::IsValidName(name) || !model::IsValidName(version) ||
      !fs::is_directory(directory, error)) {
    return absl::NotFoundError(absl::StrCat("the store has no ", name, "@", version));
  }
  if (!IsInside(root_, directory)) {
    return absl::PermissionDeniedError(
        absl::StrCat(name, "@", version, " is a symbolic link that leads out of the store"));
  }
  return directory;
}

absl::StatusOr<model::Manifest> ModelStore::ReadManifest(const std::string& name,
                                                         const std::string& version) const {
  const auto directory = Directory(name, version);
  if (!directory.ok()) return directory.status();
  try {
    model::Manifest manifest = model::ReadManifest(*directory);
    if (manifest.name != name || manifest.version != version) {
      return absl::DataLossError(absl::StrCat(
          (*directory / model::kManifestFile).string(), ": is the manifest of ",
          FullName(manifest.name, manifest.version), ", not of ", FullName(name, version)));
    }
    return manifest;
  } catch (...) {
    return StatusOfCurrentException();
  }
}

absl::StatusOr<VersionPointer> ModelStore::Pointer(const std::string& name) const {
  try {
    return CheckedPointer(name, Versions(name));
  } catch (...) {
    return StatusOfCurrentException();
  }
}

absl::StatusOr<ReplacedVersion> ModelStore::Replaced(const std::string& name) const {
  if (!model::IsValidName(name)) return InvalidName(name);
  const absl::StatusOr<VersionPointer> pointer = ReadPointer(name);
  if (!pointer.ok() && !absl::IsNotFound(pointer.status())) return pointer.status();
  if (!pointer.ok() || pointer->before.version.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no version of ", name, " was active before the present one"));
  }
  const std::string full_name = FullName(name, pointer->before.version);
  if (!Directory(name, pointer->before.version).ok()) {
    return absl::NotFoundError(
        absl::StrCat("the version that was active before, ", full_name,
                     ", is not in the store any more; activate another one"));
  }
  if (!pointer->before.Matches(WithHash(name, pointer->before.version))) {
    return absl::NotFoundError(absl::StrCat(
        "the version that was active before, ", full_name, " with hash ", pointer->before.hash,
        ", was replaced by another one of that number; activate a version by its name"));
  }
  return ReplacedVersion{.version = pointer->before, .active = pointer->active};
}

absl::Status ModelStore::SetActive(const std::string& name, const PointedVersion& active,
                                   const PointedVersion& serving) const {
  if (auto directory = Directory(name, active.version); !directory.ok()) return directory.status();
  try {
    const model::DirectoryLock lock(root_ / name);
    const absl::StatusOr<VersionPointer> present = ReadPointer(name);
    PointedVersion previous = serving;
    if (present.ok() && present->activated && !present->active.version.empty()) {
      previous = present->active;
    }
    VersionPointer pointer = {.active = active, .before = previous};
    if (previous.Matches(active))
      pointer.before = present.ok() ? present->before : PointedVersion();
    WritePointer(name, pointer);
    return absl::OkStatus();
  } catch (...) {
    return StatusOfCurrentException();
  }
}

absl::Status ModelStore::RecordServing(const std::string& name,
                                       const PointedVersion& serving) const {
  try {
    // Before the lock: a store that is read-only is common, and most pointers are complete.
    const absl::StatusOr<VersionPointer> present = ReadPointer(name);
    if (present.ok() && present->activated && present->active == serving) return absl::OkStatus();
    const model::DirectoryLock lock(root_ / name);
    absl::StatusOr<VersionPointer> pointer = ReadPointer(name);
    if (absl::IsNotFound(pointer.status())) pointer = VersionPointer{.active = serving};
    if (!pointer.ok()) return pointer.status();
    if (!pointer->active.Matches(serving)) return absl::OkStatus();
    pointer->active = serving;
    pointer->activated = true;
    if (!pointer->before.version.empty() && pointer->before.hash.empty()) {
      pointer->before = WithHash(name, pointer->before.version);
    }
    WritePointer(name, *pointer);
    return absl::OkStatus();
  } catch (...) {
    return StatusOfCurrentException();
  }
}

absl::Status ModelStore::Pin(const std::string& name) const {
  if (!model::IsValidName(name)) return InvalidName(name);
  const fs::path directory = root_ / name;
  try {
    if (mkdir(directory.c_str(), 0777) == 0) {
      model::FlushToDisk(root_);
    } else if (errno != EEXIST) {
      throw model::FileError(directory, "create", errno);
    }
    if (!IsInside(root_, directory)) {
      return absl::PermissionDeniedError(
          absl::StrCat(directory.string(), " is a symbolic link that leads out of the store"));
    }
    const model::DirectoryLock lock(directory);
    std::error_code error;
    if (fs::exists(fs::symlink_status(directory / kActivePointer, error))) return absl::OkStatus();
    const std::vector<std::string> versions = Versions(name);
    VersionPointer pointer;
    if (!versions.empty()) {
      pointer = {.active = WithHash(name, versions.front()), .before = {}, .activated = false};
    }
    WritePointer(name, pointer);
    return absl::OkStatus();
  } catch (...) {
    return StatusOfCurrentException();
  }
}

absl::StatusOr<uint64_t> ModelStore::Remove(const std::string& name,
                                            const std::string& version) const {
  const absl::StatusOr<fs::path> directory = Directory(name, version);
  if (!directory.ok()) return directory.status();
  try {
    const model::DirectoryLock lock(root_ / name);
    if (const auto active = ActiveVersion(name, Versions(name));
        active.ok() && *active == version) {
      return absl::FailedPreconditionError(absl::StrCat(
          name, "@", version, " is the active version of its name; activate another one first"));
    }
    if (auto pointer = ReadPointer(name); pointer.ok() && pointer->before.version == version) {
      pointer->before = {};
      WritePointer(name, *pointer);
    }
    const uint64_t freed = model::RemoveVersion(*directory);
    std::error_code ignored;  // thresholds of another manifest are not read
    fs::remove(RecalibrationFile(*directory), ignored);
    return freed;
  } catch (...) {
    return StatusOfCurrentException();
  }
}

std::vector<std::string> ModelStore::Versions(const std::string& name) const {
  std::vector<std::string> versions;
  for (std::string& version : model::ListNames(root_ / name)) {
    if (IsInside(root_, root_ / name / version)) versions.push_back(std::move(version));
  }
  std::sort(versions.begin(), versions.end(),
            [](const auto& a, const auto& b) { return VersionLess(b, a); });
  return versions;
}

absl::StatusOr<VersionPointer> ModelStore::ReadPointer(const std::string& name) const {
  const fs::path file = root_ / name / kActivePointer;
  std::error_code error;
  if (!fs::is_regular_file(file, error)) {
    return absl::NotFoundError(absl::StrCat(name, " has no pointer"));
  }
  if (!IsInside(root_, file)) {
    return absl::DataLossError(absl::StrCat(file.string(), ": leads out of the store"));
  }
  return VersionPointer::Read(file);
}

absl::StatusOr<VersionPointer> ModelStore::CheckedPointer(
    const std::string& name, const std::vector<std::string>& versions) const {
  absl::StatusOr<VersionPointer> pointer = ReadPointer(name);
  if (!pointer.ok()) return pointer;
  const std::string& version = pointer->active.version;
  if (version.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no version of ", name, " is active; activate one of them"));
  }
  const std::string file = (root_ / name / kActivePointer).string();
  if (std::find(versions.begin(), versions.end(), version) == versions.end()) {
    return absl::DataLossError(
        absl::StrCat(file, ": names ", Quote(version), ", which is not a version of ", name));
  }
  if (pointer->active.hash.empty()) return pointer;
  if (const PointedVersion stored = WithHash(name, version); !pointer->active.Matches(stored)) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat(file, ": names ", FullName(name, version), " with hash ",
                                  pointer->active.hash, ", but that version has hash ", stored.hash,
                                  " now; activate the version that should serve"),
                     {.reason = reason::kVersionReplaced, .field = "model"});
  }
  return pointer;
}

absl::StatusOr<std::string> ModelStore::ActiveVersion(
    const std::string& name, const std::vector<std::string>& versions) const {
  if (versions.empty()) return absl::NotFoundError(absl::StrCat(name, " has no version"));
  std::error_code error;
  if (!fs::is_regular_file(root_ / name / kActivePointer, error)) return versions.front();
  const absl::StatusOr<VersionPointer> pointer = CheckedPointer(name, versions);
  if (!pointer.ok()) return pointer.status();
  return pointer->active.version;
}

PointedVersion ModelStore::WithHash(const std::string& name, const std::string& version) const {
  const absl::StatusOr<model::Manifest> manifest = ReadManifest(name, version);
  return {.version = version, .hash = manifest.ok() ? manifest->hash : ""};
}

void ModelStore::WritePointer(const std::string& name, const VersionPointer& pointer) const {
  model::AtomicFile file(root_ / name / kActivePointer);
  file.Write(pointer.ToText());
  file.Commit();
}

}  // namespace proad::server
