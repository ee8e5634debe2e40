// The model store on disk: a directory with the versions of each model, STORE/NAME/VERSION/, as
// model/spec/version_directory.h publishes them, and the pointer file of each model
// (version_pointer.h).
//
// The active version of a model is the one that its pointer names, provided that the version still
// has the manifest with the hash that the pointer carries. Without a pointer it is the newest
// version: a server starts with it, and then writes the pointer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/spec/manifest.h"
#include "server/serving/version_pointer.h"

namespace proad::server {

// Name of the pointer file.
inline constexpr char kActivePointer[] = "active";

// One model and its versions.
struct StoredModel {
  std::string name;
  std::vector<std::string> versions;  // newest first; may be empty
  // The active version.
  //   NOT_FOUND            there is none
  //   FAILED_PRECONDITION  VERSION_REPLACED: the version has another hash than the pointer
  //   DATA_LOSS            the pointer is damaged, or names a version that does not exist
  absl::StatusOr<std::string> active;
};

// The version that was active before the present one.
struct ReplacedVersion {
  PointedVersion version;
  PointedVersion active;  // the present one
};

// Nothing is cached: every call reads the disk, which other processes change. Changes of one
// pointer exclude each other, across processes too where the file system has locks.
//
// Thread-safety: all methods may be called from any thread.
class ModelStore {
 public:
  explicit ModelStore(std::filesystem::path root);

  // Every model, by name. Skips names that cannot be models or versions, staging directories, and
  // symbolic links that lead out of the store. NOT_FOUND when the store does not exist, INTERNAL
  // when it cannot be read.
  absl::StatusOr<std::vector<StoredModel>> List() const;

  // Every name that there is a directory for, sorted. As List.
  absl::StatusOr<std::vector<std::string>> Names() const;

  // The directory of a version. NOT_FOUND when there is none; PERMISSION_DENIED when symbolic links
  // lead out of the store.
  absl::StatusOr<std::filesystem::path> Directory(const std::string& name,
                                                  const std::string& version) const;

  // The manifest of a version, which must have the name and version of its directory. As Directory;
  // DATA_LOSS names the file and the fault.
  absl::StatusOr<model::Manifest> ReadManifest(const std::string& name,
                                               const std::string& version) const;

  // The pointer of a model, checked as StoredModel::active. NOT_FOUND also without a pointer.
  absl::StatusOr<VersionPointer> Pointer(const std::string& name) const;

  // The version that was active before the present one.
  //   NOT_FOUND  there is none, it has been removed, or its directory has another hash now
  //   else       as Pointer
  absl::StatusOr<ReplacedVersion> Replaced(const std::string& name) const;

  // Makes `active` the active version of `name`: writes the pointer and flushes it. The version
  // before is the one that the pointer named; without a pointer it is `serving`, which may be
  // empty. On any failure the pointer is unchanged. As Directory; RESOURCE_EXHAUSTED when the disk
  // is full, INTERNAL when the file system refuses.
  absl::Status SetActive(const std::string& name, const PointedVersion& active,
                         const PointedVersion& serving = {}) const;

  // Records that a server has begun to serve a version that it found without an activation: writes
  // the pointer when there is none, or when it only names `serving` to start with; adds the missing
  // hashes to one of format 1. Any other pointer stays. Errors as SetActive.
  absl::Status RecordServing(const std::string& name, const PointedVersion& serving) const;

  // Prevents that a version which is published from now on serves without an activation. Unless
  // there is a pointer, writes one that names the newest version to start with, or none when there
  // is no version. Does not change what running servers serve. Creates the model's directory when
  // absent. Idempotent. INVALID_ARGUMENT for an invalid name; otherwise as SetActive.
  absl::Status Pin(const std::string& name) const;

  // Removes a version, which disappears at one instant; the caller knows that it is not in use.
  // Rolling back to it is no longer possible. Returns the bytes that became free. As Directory;
  // FAILED_PRECONDITION for the active version.
  absl::StatusOr<uint64_t> Remove(const std::string& name, const std::string& version) const;

  const std::filesystem::path& root() const { return root_; }

 private:
  // Newest first. Throws model::FileError.
  std::vector<std::string> Versions(const std::string& name) const;
  // Any pointer, unchecked. NOT_FOUND when there is none.
  absl::StatusOr<VersionPointer> ReadPointer(const std::string& name) const;
  absl::StatusOr<VersionPointer> CheckedPointer(const std::string& name,
                                                const std::vector<std::string>& versions) const;
  absl::StatusOr<std::string> ActiveVersion(const std::string& name,
                                            const std::vector<std::string>& versions) const;
  // The version with the hash of its manifest; "" when it cannot be read.
  PointedVersion WithHash(const std::string& name, const std::string& version) const;
  // Throws model::FileError.
  void WritePointer(const std::string& name, const VersionPointer& pointer) const;

  const std::filesystem::path root_;
};

}  // namespace proad::server
