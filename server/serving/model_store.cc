#include "server/serving/model_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "model/files/atomic_file.h"
#include "model/files/error.h"
#include "model/spec/manifest.h"
#include "model/spec/version_directory.h"
#include "server/serving/model_name.h"
#include "server/serving/recalibration.h"
#include "server/util/exception_status.h"
#include "server/util/quote.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

// Whether `path`, links resolved, lies in `root`.
bool IsInside(const fs::path& root, const fs::path& path) {
  std::error_code error;
  const fs::path real_root = fs::canonical(root, error);
  if (error) return false;
  const fs::path real_path = fs::canonical(path, error);
  if (error) return false;
  return std::mismatch(real_root.begin(), real_root.end(), real_path.begin(), real_path.end())
             .first == real_root.end();
}

// What a pointer file says.
struct Pointer {
  std::string active;  // "": no version
  std::string before;  // "": none served before
};

constexpr absl::string_view kBefore = "before ";

std::string ToText(const Pointer& pointer) {
  return absl::StrCat(pointer.active, "\n",
                      pointer.before.empty() ? "" : absl::StrCat(kBefore, pointer.before, "\n"));
}

// DATA_LOSS for what ToText does not write.
absl::StatusOr<Pointer> ReadPointer(const fs::path& path) {
  // Two names of 64 bytes at most; what does not fit is damaged.
  char bytes[256] = {};
  std::ifstream in(path, std::ios::binary);
  in.read(bytes, sizeof(bytes));
  const absl::string_view text(bytes, static_cast<size_t>(in.gcount()));
  std::vector<absl::string_view> lines =
      absl::StrSplit(absl::StripTrailingAsciiWhitespace(text), '\n');
  Pointer pointer = {.active = std::string(absl::StripAsciiWhitespace(lines[0])), .before = {}};
  if (lines.size() > 1) {
    absl::string_view before = lines[1];
    if (lines.size() > 2 || !absl::ConsumePrefix(&before, kBefore) ||
        !model::IsValidName(std::string(before))) {
      return absl::DataLossError(
          absl::StrCat(path.string(), ": ", Quote(text),
                       " is no pointer; a version is expected, and \"before VERSION\" below it"));
    }
    pointer.before = std::string(before);
  }
  return pointer;
}

// Writes the pointer unless there is one. Another that was written meanwhile stays: the link fails.
void WriteFirstPointer(const fs::path& pointer, const std::string& line) {
  const fs::path draft = pointer.parent_path() / model::UniqueName(".active-");
  try {
    {
      model::AtomicFile file(draft);
      file.Write(line);
      file.Commit();
    }
    if (link(draft.c_str(), pointer.c_str()) != 0 && errno != EEXIST) {
      throw model::FileError(pointer, "write", errno);
    }
  } catch (...) {
    unlink(draft.c_str());
    throw;
  }
  unlink(draft.c_str());
  model::FlushToDisk(pointer.parent_path());
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
      return absl::DataLossError(absl::StrCat((*directory / model::kManifestFile).string(),
                                              ": is of ", FullName(manifest.name, manifest.version),
                                              ", not of ", FullName(name, version)));
    }
    return manifest;
  } catch (...) {
    return StatusOfCurrentException();
  }
}

absl::Status ModelStore::SetActive(const std::string& name, const std::string& version,
                                   const std::string& served) const {
  if (auto directory = Directory(name, version); !directory.ok()) return directory.status();
  const fs::path path = root_ / name / kActivePointer;
  try {
    Pointer pointer = {.active = version, .before = {}};
    const absl::StatusOr<std::string> active =
        served.empty() ? ActiveVersion(name, Versions(name)) : served;
    if (active.ok() && *active != version) {
      pointer.before = *active;
    } else if (const auto present = ReadPointer(path); present.ok()) {
      // A version that is not there, or was active already, took over from nobody.
      if (present->active == version) pointer.before = present->before;
    }
    model::AtomicFile file(path);
    file.Write(ToText(pointer));
    file.Commit();
    return absl::OkStatus();
  } catch (...) {
    return StatusOfCurrentException();
  }
}

absl::StatusOr<std::string> ModelStore::Pointed(const std::string& name) const {
  const fs::path pointer = root_ / name / kActivePointer;
  std::error_code error;
  if (!fs::is_regular_file(pointer, error)) {
    return absl::NotFoundError(absl::StrCat(name, " has no pointer"));
  }
  try {
    return ActiveVersion(name, Versions(name));
  } catch (...) {
    return StatusOfCurrentException();
  }
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

absl::StatusOr<ReplacedVersion> ModelStore::Replaced(const std::string& name) const {
  if (!model::IsValidName(name)) {
    return absl::InvalidArgumentError(absl::StrCat(Quote(name), " cannot name a model"));
  }
  const absl::StatusOr<Pointer> pointer = ReadPointer(root_ / name / kActivePointer);
  if (!pointer.ok()) return pointer.status();
  if (pointer->before.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no version of ", name, " served before the present one"));
  }
  if (const auto directory = Directory(name, pointer->before); !directory.ok()) {
    return absl::NotFoundError(
        absl::StrCat("the version that served before, ", name, "@", pointer->before,
                     ", is not in the store any more; activate another one"));
  }
  return ReplacedVersion{.version = pointer->before, .active = pointer->active};
}

absl::StatusOr<uint64_t> ModelStore::Remove(const std::string& name,
                                            const std::string& version) const {
  const absl::StatusOr<fs::path> directory = Directory(name, version);
  if (!directory.ok()) return directory.status();
  try {
    if (const auto active = ActiveVersion(name, Versions(name));
        active.ok() && *active == version) {
      return absl::FailedPreconditionError(absl::StrCat(
          name, "@", version, " is the active version of its name; activate another one first"));
    }
    const uint64_t freed = model::RemoveVersion(*directory);
    std::error_code ignored;  // of another version of that name it would not be taken
    fs::remove(RecalibrationFile(*directory), ignored);
    return freed;
  } catch (...) {
    return StatusOfCurrentException();
  }
}

absl::Status ModelStore::Pin(const std::string& name) const {
  if (!model::IsValidName(name)) {
    return absl::InvalidArgumentError(absl::StrCat(Quote(name), " cannot name a model"));
  }
  const fs::path directory = root_ / name;
  const fs::path pointer = directory / kActivePointer;
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
    std::error_code error;
    if (fs::exists(fs::symlink_status(pointer, error))) return absl::OkStatus();
    const absl::StatusOr<std::string> active = ActiveVersion(name, Versions(name));
    WriteFirstPointer(pointer, active.ok() ? absl::StrCat(*active, "\n") : "");
    return absl::OkStatus();
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

absl::StatusOr<std::string> ModelStore::ActiveVersion(
    const std::string& name, const std::vector<std::string>& versions) const {
  if (versions.empty()) return absl::NotFoundError(absl::StrCat(name, " has no version"));
  const fs::path pointer = root_ / name / kActivePointer;
  std::error_code error;
  if (!fs::is_regular_file(pointer, error)) return versions.front();
  if (!IsInside(root_, pointer)) {
    return absl::DataLossError(absl::StrCat(pointer.string(), ": leads out of the store"));
  }

  const absl::StatusOr<Pointer> read = ReadPointer(pointer);
  if (!read.ok()) return read.status();
  const std::string& version = read->active;
  if (version.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no version of ", name, " is active; activate one of them"));
  }
  if (std::find(versions.begin(), versions.end(), version) == versions.end()) {
    return absl::DataLossError(absl::StrCat(pointer.string(), ": names ", Quote(version),
                                            ", which is no version of ", name));
  }
  return version;
}

}  // namespace proad::server
