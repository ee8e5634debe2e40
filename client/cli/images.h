// Finds and reads the image files that a command line names.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/skipped_files.h"

namespace proad::client {

struct InputImage {
  std::filesystem::path path;  // as given, or a path below the given folder
  // Path of the image's maps in the output folder: the file name of a given file; for a file below a
  // folder, its path relative to the common parent of all given folders.
  std::filesystem::path relative;
  absl::Status problem;  // error, when `path` has no image to inspect
};

struct ImageList {
  std::vector<InputImage> images;
  SkippedFiles skipped;
};

// Returns the given files, and the images below the given folders in the order of their paths.
// Missing files, unreadable folders and folders without images are in `images` with their error.
//
// A file in a folder is an image if its extension is that of one. The search skips the entries of
// SkipReason and does not follow links to folders. Given files and folders are not skipped, except
// for maps that `proad detect` wrote.
ImageList CollectImages(const std::vector<std::string>& arguments);

// Returns the content of the file. PERMISSION_DENIED when it cannot be read; INVALID_ARGUMENT when it
// is not a regular file or larger than 1 GiB.
absl::StatusOr<std::string> ReadImage(const std::filesystem::path& path);

}  // namespace proad::client
