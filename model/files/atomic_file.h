// Writes files atomically and flushes files to the disk.
//
// No LibTorch.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace proad::model {

// Writes to a temporary sibling (".NAME.tmp-*"). Commit flushes it and renames it to `path`, so
// readers see the old file or the whole new one. The destructor removes a temporary file that was
// not committed. Not thread-safe.
class AtomicFile {
 public:
  // Throws FileError.
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Throws FileError naming `path`, for example when the disk is full.
  void Write(std::span<const std::byte> bytes);
  void Write(std::string_view text);
  void Commit();

 private:
  const std::filesystem::path path_;
  const std::filesystem::path temporary_;
  int fd_ = -1;  // -1 after Commit
};

// Flushes the bytes of a file, or the entries of a directory. Throws FileError.
void FlushToDisk(const std::filesystem::path& path);

// `prefix` followed by 16 random hex digits.
std::string UniqueName(std::string_view prefix);

}  // namespace proad::model
