// The files of a folder that UploadDataset sends, with their order and digests.
//
// Plain values and functions without state: safe to call from any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace proad::client {

struct FolderFile {
  std::string path;    // relative to the folder, UTF-8, with "/" between its parts
  uint64_t bytes = 0;  // size
  std::string sha256;  // digest of the content, 32 bytes
};

struct FolderListing {
  std::vector<FolderFile> files;  // in ascending order of their paths, compared as bytes
  uint64_t bytes = 0;             // total size
  // Paths that are not sent, relative to the folder: hidden files and folders, files that are
  // neither images nor lists, and links to folders. Folders end with "/".
  std::vector<std::string> left_out;
};

// Lists the images (client/image_names.h) and lists (.csv, .json) below the folder, and reads each
// file once for its digest. Links to files count as files.
//   NOT_FOUND          The folder does not exist, or it holds nothing to send.
//   INVALID_ARGUMENT   A path cannot be sent: it is not UTF-8, or longer than 512 bytes.
//   PERMISSION_DENIED  A file or folder cannot be read.
//   CANCELLED          `stop` was requested.
// Every message names the path.
absl::StatusOr<FolderListing> ListFolder(const std::filesystem::path& folder,
                                         const std::stop_token& stop = {});

// Returns a dataset id that depends on the content: the folder's name and the start of a digest over
// all paths and contents. The same content always has the same id, so a repeated upload is detected.
std::string DatasetIdOf(const std::filesystem::path& folder, const FolderListing& listing);

}  // namespace proad::client
