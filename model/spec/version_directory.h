// Publishes versions in a model store, STORE/NAME/VERSION/, and removes them, both atomically.
//
// A version is written to a hidden sibling, STORE/NAME/.staging-*, flushed to the disk and renamed.
// So a reader never sees an incomplete version, and after a power cut the version is there as a
// whole or not at all. A version directory never changes after that.
//
// A version number is never used twice (version_numbers.h).
//
// No LibTorch. Safe to call from any thread and any process. If two writers publish the same
// version, one of them is refused.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "model/files/error.h"
#include "model/spec/manifest.h"

namespace proad::model {

// The store has a version with this number. Field "version", reason ALREADY_EXISTS.
class VersionExists : public InvalidInput {
 public:
  explicit VersionExists(const std::string& message)
      : InvalidInput("version", "ALREADY_EXISTS", message) {}
};

// Publishes `directory`. Calls `fill` with an empty directory; `fill` writes the files of the
// version into it (only regular files with names that the manifest allows, not manifest.json). Then
// adds size and digest of each file to manifest.files, writes the manifest as the last file,
// flushes everything and renames. Returns the manifest with `files` and `hash` set.
//
// Creates the parent of `directory` if needed; the parent's parent must exist.
//
// Throws VersionExists if `directory` exists or its name is a number that was used before,
// InvalidInput for a manifest that ReadManifest would refuse, FileError (for example a full disk),
// and the exceptions of `fill`. After an exception nothing is left behind.
Manifest WriteVersion(const std::filesystem::path& directory, Manifest manifest,
                      const std::function<void(const std::filesystem::path& staging)>& fill);

// Removes a published version: renames it to a hidden sibling, then deletes that. After a crash in
// between, RemoveStale deletes the sibling. Returns the size of its files in bytes. Throws
// FileError if the rename fails; the version is then unchanged.
uint64_t RemoveVersion(const std::filesystem::path& directory);

// The sorted names of the subdirectories whose names are valid (IsValidName): the versions of a
// model, or the models of a store. Staging directories are not included. Empty if `parent` does not
// exist. Throws FileError.
std::vector<std::string> ListNames(const std::filesystem::path& parent);

// The name of the next version in `model_directory`: one more than the highest number that is
// present or was used before, or "1".
// Throws FileError.
std::string NextVersion(const std::filesystem::path& model_directory);

// Removes the staging directories in `parent` that a crash left behind: those that no process has
// locked. On a file system without flock for directories (some network file systems) it removes
// those that were not modified for a day. Returns their number. Throws FileError.
int RemoveStale(const std::filesystem::path& parent);

}  // namespace proad::model
