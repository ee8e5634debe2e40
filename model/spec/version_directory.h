// Publishes versions into a model store, STORE/NAME/VERSION/, and removes them, both atomically.
//
// A version is written to a hidden sibling, STORE/NAME/.staging-*, flushed to the disk and renamed
// into place: a reader never sees part of one, and a power cut leaves either nothing or all of it.
// A version directory never changes after that.
//
// A version number is never used twice. STORE/NAME/.used-N, an empty file, records that the numbers
// up to N have been used; it is flushed before version N is published, and before a version is
// removed.
//
// Includes no LibTorch. Safe to call from any thread and any process: of two writers of the same
// version one publishes it, and the other is refused.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "model/spec/manifest.h"

namespace proad::model {

// Publishes `directory`. Calls `fill` with an empty directory, into which it writes the version's
// files (plain files only, with names that the manifest allows, not manifest.json). Then puts the
// size and digest of each into manifest.files, writes the manifest as the last file, flushes
// everything and renames. Returns the manifest with `files` and `hash` filled in.
//
// The parent of `directory` is created when absent; the parent's own parent must exist.
//
// Throws InvalidInput with reason ALREADY_EXISTS (field "version") when `directory` exists,
// whatever it contains, or when its name is a number that has been used; InvalidInput for a
// manifest that ReadManifest would refuse; FileError (a full disk among others); and what `fill`
// throws. On any of these nothing is left behind.
Manifest WriteVersion(const std::filesystem::path& directory, Manifest manifest,
                      const std::function<void(const std::filesystem::path& staging)>& fill);

// Removes a published version: renames it to a hidden sibling, at which instant it is gone, and
// deletes that; RemoveStale finishes after a crash. Returns the bytes of its files. Throws
// FileError; a version that could not be renamed is unchanged.
uint64_t RemoveVersion(const std::filesystem::path& directory);

// Sorted names of the subdirectories whose names IsValidName: versions of a model, or models of a
// store. Staging directories are never among them. Empty when `parent` does not exist. Throws
// FileError.
std::vector<std::string> ListNames(const std::filesystem::path& parent);

// The number of the next version in `model_directory`: one more than the highest that is present
// or has been used, from "1" on. Throws FileError.
std::string NextVersion(const std::filesystem::path& model_directory);

// Removes the staging directories in `parent` that a crash left: those that no living process
// holds. On file systems that cannot tell (flock on a directory, some network file systems), those
// untouched for a day. Returns how many it removed. Throws FileError.
int RemoveStale(const std::filesystem::path& parent);

}  // namespace proad::model
