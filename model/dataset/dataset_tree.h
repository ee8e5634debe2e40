// The folder that a dataset lies in, as its layouts read it: nothing outside of it is reached, and
// it is not read without end.
//
// No LibTorch. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace proad::model {

// Throws InvalidInput, field "dataset".
[[noreturn]] void RefuseDataset(const std::string& reason, const std::string& message);

// Whether the name ends as those of pictures do (.png, .jpg, .jpeg, .bmp, .tif, .tiff, .webp, in
// any case).
bool IsPictureName(std::string_view name);

std::string ToLowerAscii(std::string_view text);

// `name` in `folder`, where "" is the root.
std::string JoinNames(std::string_view folder, std::string_view name);

class DatasetTree {
 public:
  // Entries of one folder, without those that begin with a dot; sorted as bytes.
  struct Listing {
    std::vector<std::string> folders;
    std::vector<std::string> files;

    bool HasFolder(std::string_view name) const;
    bool HasFile(std::string_view name) const;
    bool HasPictures() const;
  };

  // `root` is a folder.
  DatasetTree(const std::filesystem::path& root, size_t max_files);

  const std::filesystem::path& root() const { return root_; }
  const std::vector<std::string>& ignored() const { return ignored_; }

  // Names below are relative to the root, parts separated by "/".

  bool IsFolder(const std::string& name) const;

  // Refuses links that leave the root or lead nowhere, names that are not UTF-8, and what is
  // neither a file nor a folder.
  Listing List(const std::string& folder);

  // List, but only the pictures; other files are remembered as ignored, and folders refused.
  std::vector<std::string> ListPictures(const std::string& folder);

  // The file that a list names, links resolved: refuses names that are absolute, hold ".." or leave
  // the root, and what is not a file. `where` is the place in the list.
  std::filesystem::path Resolve(const std::string& name, const std::string& where) const;

  // `name` as it is written below the root, without parts that lead nowhere ("a/./b"). Pure.
  static std::string Normal(const std::string& name);

  // Where a file that was listed lies, links resolved. Refuses what leaves the root by now.
  std::filesystem::path PathOf(const std::string& name) const;

  // The whole file, refused when larger.
  std::string ReadList(const std::string& name, int64_t max_bytes) const;

  // Notes that a file was passed over.
  void Ignore(const std::string& name);

  // Counts towards the limit of files and rows.
  void Count(size_t entries);

 private:
  bool IsInside(const std::filesystem::path& canonical) const;

  const std::filesystem::path root_;  // links resolved
  const size_t max_files_;
  size_t files_ = 0;
  std::vector<std::string> ignored_;
};

}  // namespace proad::model
