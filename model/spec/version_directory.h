// How a version comes into a model store, STORE/NAME/VERSION/, and leaves it: whole or not at all.
//
// A version is made in a hidden sibling, STORE/NAME/.staging-*, flushed to the disk and renamed
// into place, so a reader never sees half of one, and a power cut leaves either nothing or
// everything. A version directory never changes after that.
//
// No LibTorch. Safe to call from any thread and any process: two writers of the same version make
// one, and the other is refused.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "model/files/error.h"
#include "model/spec/manifest.h"

namespace proad::model {

// A version with this number is in the store. Field "version", reason ALREADY_EXISTS.
class VersionExists : public InvalidInput {
 public:
  explicit VersionExists(const std::string& message)
      : InvalidInput("version", "ALREADY_EXISTS", message) {}
};

// Publishes `directory`. Calls `fill` with an empty directory to write the version's files into
// (plain files only, named as the manifest allows, not manifest.json); then puts size and digest of
// each into manifest.files, writes the manifest as the last file, flushes all and renames. Returns
// the manifest with `files` and `hash` filled in.
//
// The parent of `directory` is made when absent; its own parent must exist.
//
// Throws VersionExists when `directory` exists, whatever is in it; InvalidInput for a manifest that
// ReadManifest would refuse; FileError (full disk among others); and what `fill` throws. On any of
// these nothing is left behind.
Manifest WriteVersion(const std::filesystem::path& directory, Manifest manifest,
                      const std::function<void(const std::filesystem::path& staging)>& fill);

// Takes a published version out of its store: renames it to a hidden sibling, which is the instant
// in which it is gone, and removes that; RemoveStale finishes after a crash. Returns the bytes of
// its files. Throws FileError; a version that could not be renamed is as it was.
uint64_t RemoveVersion(const std::filesystem::path& directory);

// Sorted names of the subdirectories whose names IsValidName: versions of a model, or models of a
// store. Staging directories are never among them. Empty when `parent` does not exist. Throws
// FileError.
std::vector<std::string> ListNames(const std::filesystem::path& parent);

// The version after those in `model_directory`: one more than the highest that is a number, from
// "1" on. Throws FileError.
std::string NextVersion(const std::filesystem::path& model_directory);

// Removes the staging directories in `parent` that a crash left: those that no living process
// holds. Where the file system cannot tell (flock on a directory, some network file systems), those
// untouched for a day. Returns how many it removed. Throws FileError.
int RemoveStale(const std::filesystem::path& parent);

}  // namespace proad::model
