// Files that are there whole or not at all, and flushing them to the disk.
//
// No LibTorch.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace proad::model {

// Writes a file piece by piece into a temporary sibling (".NAME.tmp-*"); Commit flushes it and
// renames it over `path`. Without Commit the destructor removes it. One thread at a time.
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
  int fd_ = -1;  // -1 once closed; the temporary file is then gone
};

// Flushes a file's bytes, or a directory's entries. Throws FileError.
void FlushToDisk(const std::filesystem::path& path);

// `prefix` and 16 random hex digits.
std::string UniqueName(std::string_view prefix);

}  // namespace proad::model
