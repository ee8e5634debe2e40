// Reads a zip file with uncompressed entries, as PyTorch writes it. Zip64 is supported; compressed
// and encrypted entries are refused.
//
// No LibTorch. Immutable; safe to read from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace proad::model {

// CRC-32 of zip files (polynomial 0xEDB88320).
uint32_t Crc32(std::span<const std::byte> bytes);

// Holds the central directory. The bytes and the names in `entries` belong to the caller.
class ZipArchive {
 public:
  struct Entry {
    uint64_t header = 0;  // byte of the local header
    uint64_t size = 0;
    uint64_t compressed_size = 0;
    uint32_t crc = 0;
    uint16_t method = 0;  // 0 = stored
    uint16_t flags = 0;   // bit 0 = encrypted
  };

  // Throws CorruptFile that names the byte or the entry.
  ZipArchive(std::span<const std::byte> bytes, std::string source);

  // By name.
  const std::map<std::string_view, Entry>& entries() const { return entries_; }

  // The bytes of an entry after comparing its checksum. Throws CorruptFile that names the entry,
  // also when there is no such entry.
  std::span<const std::byte> Read(std::string_view name) const;

 private:
  struct Directory {
    uint64_t begin = 0;
    uint64_t size = 0;
    uint64_t entries = 0;
  };

  [[noreturn]] void Fail(const std::string& message) const;
  // `size` bytes from `begin`; the error for a range outside the file calls it `what`.
  std::span<const std::byte> Slice(uint64_t begin, uint64_t size, const std::string& what) const;
  uint64_t FindEnd() const;
  Directory FindDirectory() const;
  void ReadDirectory(const Directory& directory);
  void ReadZip64(std::span<const std::byte> extra, std::string_view name, Entry& entry) const;

  const std::span<const std::byte> bytes_;
  const std::string source_;
  std::map<std::string_view, Entry> entries_;
};

}  // namespace proad::model
