// The folder of a dataset, as the layouts read it: it never reads outside of the folder, and it
// limits how many files it reads.
//
// No LibTorch. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "model/dataset/skipped_entries.h"

namespace proad::model {

// Throws InvalidInput, field "dataset".
[[noreturn]] void RefuseDataset(const std::string& reason, const std::string& message);

// "folder/name"; just `name` if `folder` is "", the root.
std::string JoinNames(std::string_view folder, std::string_view name);

class DatasetRoot {
 public:
  // The entries of one folder, sorted by bytes, without those that ReasonToSkip names.
  struct Listing {
    std::vector<std::string> folders;
    std::vector<std::string> files;

    bool HasFolder(std::string_view name) const;
    bool HasFile(std::string_view name) const;
    bool HasImages() const;
  };

  // `path` must be a folder. At most `max_files` entries and rows are read, see Count.
  DatasetRoot(const std::filesystem::path& path, size_t max_files);

  // Absolute, links resolved.
  const std::filesystem::path& path() const { return path_; }
  // The names that were passed to Ignore.
  const std::vector<std::string>& ignored() const { return ignored_; }
  // What List skipped.
  const SkippedEntries& skipped() const { return skipped_; }

  // All names are relative to the root, with parts separated by "/".

  bool IsFolder(const std::string& name) const;

  // Refuses links that leave the root or are broken, names that are not UTF-8, and entries that are
  // neither files nor folders.
  Listing List(const std::string& folder);

  // The names of the images in a folder. Ignores other files; refuses folders.
  std::vector<std::string> ListImages(const std::string& folder);

  // The path of a file that a list names, links resolved. Refuses names that are absolute, contain
  // ".." or leave the root, and names that are not of files. `where` is the line of the list.
  std::filesystem::path Resolve(const std::string& name, const std::string& where) const;

  // `name` without redundant parts: "a/./b" becomes "a/b".
  static std::string Normal(const std::string& name);

  // The path of a listed file, links resolved. Refuses a file that is outside the root by now.
  std::filesystem::path PathOf(const std::string& name) const;

  // The contents of a list. Refuses a file that is larger than `max_bytes`.
  std::string ReadList(const std::string& name, int64_t max_bytes) const;

  // Records a file that is not read, because it is not an image.
  void Ignore(const std::string& name);

  // Adds to the number of entries and rows. Refuses more than `max_files`.
  void Count(size_t entries);

 private:
  bool IsInside(const std::filesystem::path& canonical) const;

  const std::filesystem::path path_;
  const size_t max_files_;
  size_t count_ = 0;
  std::vector<std::string> ignored_;
  SkippedEntries skipped_;
};

}  // namespace proad::model
