// Finds out that files were replaced.
#pragma once

#include <sys/types.h>

#include <ctime>
#include <filesystem>
#include <vector>

namespace proad::server {

// Looks at where the paths lead, links followed: a file that was written anew, moved into place, or
// is reached by another link now counts as replaced. That several files belong together is
// respected: a replacement is told once the look before has found all of them the same.
//
// Thread-safety: one thread at a time. Touches the disk; opens nothing.
class FileWatch {
 public:
  // Looks for the first time: what is read after that and replaced later is told.
  explicit FileWatch(std::vector<std::filesystem::path> files);

  // True once for every replacement. Files that are gone count as replaced, too.
  bool Replaced();

 private:
  struct Stamp {
    dev_t device = 0;
    ino_t inode = 0;
    off_t bytes = 0;
    timespec modified = {};
    timespec changed = {};

    bool operator==(const Stamp& other) const;
  };

  std::vector<Stamp> Look() const;

  const std::vector<std::filesystem::path> files_;
  std::vector<Stamp> seen_;  // by the last look
  std::vector<Stamp> told_;  // last
};

}  // namespace proad::server
