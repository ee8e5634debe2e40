// Detects that files were replaced.
#pragma once

#include <sys/types.h>

#include <ctime>
#include <filesystem>
#include <vector>

namespace proad::server {

// Follows links. A file counts as replaced when it was rewritten, when another file was moved into
// its place, or when a link leads to another file. A replacement is reported only after two checks
// in a row have found the same files, so that files that belong together are replaced together.
//
// Thread-safety: one thread at a time. Reads metadata of the files and does not open them.
class FileWatch {
 public:
  // Makes the first check: a file that is read after it and replaced later is reported.
  explicit FileWatch(std::vector<std::filesystem::path> files);

  // Checks the files. True once for every replacement. A file that is gone counts as replaced.
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

  std::vector<Stamp> Check() const;

  const std::vector<std::filesystem::path> files_;
  std::vector<Stamp> seen_;      // by the last check
  std::vector<Stamp> reported_;  // as replaced, or by the first check
};

}  // namespace proad::server
