// A folder of pictures as UploadDataset sends it: which files, in which order, with which digests.
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
  std::string path;    // below the folder, UTF-8, parts separated by "/"
  uint64_t bytes = 0;  // of its content
  std::string sha256;  // of its content, 32 bytes
};

struct FolderListing {
  std::vector<FolderFile> files;  // in ascending order of their paths, compared as bytes
  uint64_t bytes = 0;             // of all of them
  // What a dataset has no use for, below the folder: hidden files, files that are neither pictures
  // nor lists, links to folders.
  std::vector<std::string> left_out;
};

// Reads every picture (.bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp) and list (.csv, .json) below
// the folder once. Links to files count as files.
//   NOT_FOUND          no such folder, or nothing in it to send
//   INVALID_ARGUMENT   a name that cannot be sent: not UTF-8, or longer than 512 bytes
//   PERMISSION_DENIED  a file or folder that cannot be read
//   CANCELLED          `stop` was requested
// Every message names the path.
absl::StatusOr<FolderListing> ListFolder(const std::filesystem::path& folder,
                                         const std::stop_token& stop = {});

// A name for the dataset that tells its content: the folder's name and the beginning of a digest
// over paths and contents. The same content always gets the same name, so that sending it twice is
// noticed.
std::string DatasetIdOf(const std::filesystem::path& folder, const FolderListing& listing);

}  // namespace proad::client
