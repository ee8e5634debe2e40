// A zip file whose entries are stored as they are, which is how PyTorch writes one. Zip64 is
// understood; compression and encryption are refused.
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

// CRC-32 as zip has it (polynomial 0xEDB88320).
uint32_t Crc32(std::span<const std::byte> bytes);

// Reads the central directory. Owns neither the bytes nor, in `entries`, the names.
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

  // Throws CorruptFile naming the byte or the entry.
  ZipArchive(std::span<const std::byte> bytes, std::string source);

  // By name.
  const std::map<std::string_view, Entry>& entries() const { return entries_; }

  // The bytes of an entry, after its checksum was compared. Throws CorruptFile naming the entry;
  // also when there is none of that name.
  std::span<const std::byte> Read(std::string_view name) const;

 private:
  struct Directory {
    uint64_t begin = 0;
    uint64_t size = 0;
    uint64_t entries = 0;
  };

  [[noreturn]] void Fail(const std::string& message) const;
  // `size` bytes from `begin` on, called `what` when they are not there.
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
