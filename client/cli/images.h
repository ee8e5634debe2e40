// Finds and reads the image files that a command line names.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace proad::client {

struct InputImage {
  std::filesystem::path path;  // as given, or a path below the given folder
  // Path of the image's maps in the output folder: the file name of a given file; for a file below a
  // folder, its path relative to the common parent of all given folders.
  std::filesystem::path relative;
  absl::Status problem;  // error, when `path` has no image to inspect
};

// Returns the given files, and the images below the given folders in the order of their paths. An image
// in a folder is recognised by the extension of its name. Skips hidden files and folders, and folders
// named ground_truth, which hold masks. Missing files, and folders without images, are in the result
// with their error.
std::vector<InputImage> CollectImages(const std::vector<std::string>& arguments);

// Returns the content of the file. PERMISSION_DENIED when it cannot be read; INVALID_ARGUMENT when it is
// not a regular file or larger than 1 GiB.
absl::StatusOr<std::string> ReadImage(const std::filesystem::path& path);

}  // namespace proad::client
