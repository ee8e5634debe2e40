// The directory that holds model versions: STORE/NAME/VERSION/, as model/spec/version_directory.h
// publishes them.
//
// Which version serves a model stands in its pointer file, STORE/NAME/active: the version, and
// below it "before VERSION" where another one served before it; or nothing for "none". Without the
// file it is the newest version.
//
// Nothing is cached: every call looks at the disk, which other processes write to.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/spec/manifest.h"

namespace proad::server {

// Name of the pointer file.
inline constexpr char kActivePointer[] = "active";

// One model and its versions.
struct StoredModel {
  std::string name;
  std::vector<std::string> versions;  // newest first; may be empty
  // The version that serves the name. NOT_FOUND when there is none, DATA_LOSS for a pointer that
  // names no version.
  absl::StatusOr<std::string> active;
};

// Who took over from whom.
struct ReplacedVersion {
  std::string version;
  std::string active;
};

// Thread-safety: const after construction.
class ModelStore {
 public:
  explicit ModelStore(std::filesystem::path root);

  // Every model, by name. Names that cannot be models or versions, staging directories and symbolic
  // links that leave the store are passed over. NOT_FOUND when the store does not exist, INTERNAL
  // when it cannot be read.
  absl::StatusOr<std::vector<StoredModel>> List() const;

  // Where a version lies. NOT_FOUND when there is none; PERMISSION_DENIED when symbolic links lead
  // out of the store.
  absl::StatusOr<std::filesystem::path> Directory(const std::string& name,
                                                  const std::string& version) const;

  // The manifest of a version, which must be of the version that its directory says. As Directory;
  // DATA_LOSS naming the file and what is wrong with it.
  absl::StatusOr<model::Manifest> ReadManifest(const std::string& name,
                                               const std::string& version) const;

  // Makes `version` the one that serves `name`, now and after a restart: writes the pointer, and
  // with it the version that served before, flushed to the disk. That is `served`; "": what the
  // store says, which without a pointer may be a version that was published since and never served.
  // On any failure the pointer stays as it was. As Directory; RESOURCE_EXHAUSTED when the disk is
  // full, INTERNAL where the system refuses.
  absl::Status SetActive(const std::string& name, const std::string& version,
                         const std::string& served = "") const;

  // Makes what serves `name` now last until SetActive: a version that is published meanwhile,
  // though newer, does not serve. Writes the pointer unless there is one; makes the model's
  // directory when absent. Idempotent. INVALID_ARGUMENT for what is no name; otherwise as
  // SetActive.
  absl::Status Pin(const std::string& name) const;

  // The version that served `name` before the one that its pointer names, which is `active` in the
  // answer. NOT_FOUND when none did, or it has been removed.
  absl::StatusOr<ReplacedVersion> Replaced(const std::string& name) const;

  // The version that the pointer of `name` names. NOT_FOUND without a pointer and for one that
  // names none, DATA_LOSS for one that is damaged or names no version.
  absl::StatusOr<std::string> Pointed(const std::string& name) const;

  // Every name that there is a directory for, sorted. As List.
  absl::StatusOr<std::vector<std::string>> Names() const;

  // Removes a version for good, in one step as others see it; the caller knows that nobody uses it.
  // Returns the bytes that became free. As Directory; FAILED_PRECONDITION for the active version.
  absl::StatusOr<uint64_t> Remove(const std::string& name, const std::string& version) const;

  const std::filesystem::path& root() const { return root_; }

 private:
  // Newest first. Throws model::FileError.
  std::vector<std::string> Versions(const std::string& name) const;
  absl::StatusOr<std::string> ActiveVersion(const std::string& name,
                                            const std::vector<std::string>& versions) const;

  const std::filesystem::path root_;
};

}  // namespace proad::server
