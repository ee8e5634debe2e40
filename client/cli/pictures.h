// The pictures that a command line names.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace proad::client {

struct Picture {
  std::filesystem::path path;  // as given, or below the folder that was given
  // Below that folder, or below the folder that all that were given lie in; of a file that was
  // given, its name. Where its maps go.
  std::filesystem::path relative;
  absl::Status problem;  // why there is nothing to inspect here
};

// Files as they are; folders walked in the order of their names, for files with a picture's
// extension. Left out are hidden files and folders, and folders named ground_truth, which hold
// masks. What does not exist and folders without pictures stay in the list with their problem, so
// that nothing is passed over silently.
std::vector<Picture> CollectPictures(const std::vector<std::string>& arguments);

// The whole file. NOT_FOUND, PERMISSION_DENIED or INVALID_ARGUMENT when it cannot be a picture.
absl::StatusOr<std::string> ReadPicture(const std::filesystem::path& path);

}  // namespace proad::client
