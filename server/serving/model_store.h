// The directory that holds model versions: STORE/NAME/VERSION/, as model/version_directory.h
// publishes them.
//
// Nothing is cached: every call looks at the disk, which other processes write to.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace proad::server {

// Name of the one-line file in STORE/NAME/ that says which version is active.
inline constexpr char kActivePointer[] = "active";

// One model and its versions.
struct StoredModel {
  std::string name;
  std::vector<std::string> versions;  // newest first; may be empty
  // The version that serves the name: the pointer file's, or the newest where there is none.
  // NOT_FOUND without versions, DATA_LOSS for a pointer that names none of them.
  absl::StatusOr<std::string> active;
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

  const std::filesystem::path& root() const { return root_; }

 private:
  absl::StatusOr<std::string> ActiveVersion(const std::string& name,
                                            const std::vector<std::string>& versions) const;

  const std::filesystem::path root_;
};

// Orders versions: runs of digits by their value, the rest by its characters. "9" < "10", "1.9" <
// "1.10".
bool VersionLess(absl::string_view a, absl::string_view b);

}  // namespace proad::server
