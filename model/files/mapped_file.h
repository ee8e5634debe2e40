// A read-only memory mapping of a file.
//
// No LibTorch. Immutable; safe to read from any thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace proad::model {

// Pages are loaded on first access. The file must not be truncated while it is mapped: reading past
// its new end kills the process. Version directories never change, so this holds for them, and a
// rename over the file leaves the mapping intact.
class MappedFile {
 public:
  // Throws FileError; also for a directory, device or pipe.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace proad::model
