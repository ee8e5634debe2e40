// A file's bytes in memory, read-only.
//
// No LibTorch. Immutable; safe to read from any thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace proad::model {

// The file is mapped, not copied: pages come in when they are touched. It must not be shortened
// while mapped (reading past its new end kills the process), which holds for a version directory,
// as nothing in it ever changes. Files are replaced by rename, which leaves an existing mapping
// intact.
class MappedFile {
 public:
  // Throws FileError; a directory, device or pipe is refused as well.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace proad::model
