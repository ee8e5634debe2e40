// Files and folders that a search for images skips, with the reasons. Plain values; not thread-safe.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace proad::client {

enum class SkipReason {
  kNotAnImage,    // the extension is not that of an image
  kLinkedFolder,  // a link to a folder
  kOwnOutput,     // written by `proad detect`
  kMaskFolder,    // a folder named ground_truth
  kSystem,        // made by a file server or an operating system, for example thumbnails
  kHidden,        // the name starts with "."
  kNotAFile,      // a broken link, a device or the like
};

// Name of a reason for programs, for example "linked_folder".
std::string NameOf(SkipReason reason);

// Description of a reason for people.
std::string DescriptionOf(SkipReason reason);

// Returns the reason to skip an entry because of its name, nullopt for none.
std::optional<SkipReason> ReasonToSkip(const std::filesystem::path& path, bool is_folder);

// Returns true for the name of a file that `proad detect` writes: an overlay, a heatmap or its
// description.
bool IsOwnOutput(const std::filesystem::path& path);

// Counts skipped entries. A folder counts once. Bounded: keeps the first paths only.
class SkippedFiles {
 public:
  struct Group {
    size_t count = 0;
    std::vector<std::string> paths;  // the first 5; folders end with "/"
  };

  void Add(SkipReason reason, const std::filesystem::path& path, bool is_folder);

  const std::map<SkipReason, Group>& groups() const { return groups_; }
  size_t count() const;

 private:
  std::map<SkipReason, Group> groups_;
};

}  // namespace proad::client
