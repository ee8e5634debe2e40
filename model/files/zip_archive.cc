#include "model/files/zip_archive.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "model/files/error.h"
#include "model/files/text.h"

namespace proad::model {
namespace {

static_assert(std::endian::native == std::endian::little, "zip's numbers are little-endian");

constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kDirectoryHeader = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50;
constexpr uint32_t kEnd64Locator = 0x07064b50;
constexpr size_t kLocalHeaderSize = 30;
constexpr size_t kDirectoryHeaderSize = 46;
constexpr size_t kEndSize = 22;
constexpr size_t kEnd64Size = 56;
constexpr size_t kEnd64LocatorSize = 20;
constexpr size_t kMaxComment = 0xffff;
constexpr uint16_t kZip64Extra = 0x0001;

// The caller has checked that the bytes are there.
template <typename T>
T Load(std::span<const std::byte> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

// kCrcTables[k][b]: the CRC of byte b followed by k zero bytes. With them one step takes eight
// bytes.
constexpr std::array<std::array<uint32_t, 256>, 8> MakeCrcTables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0xEDB88320u : 0u);
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}
constexpr auto kCrcTables = MakeCrcTables();

}  // namespace

uint32_t Crc32(std::span<const std::byte> bytes) {
  uint32_t crc = 0xffffffff;
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
    const uint64_t eight = Load<uint64_t>(bytes, 0) ^ crc;
    crc = 0;
    for (int k = 0; k < 8; ++k) crc ^= kCrcTables[7 - k][(eight >> (8 * k)) & 0xff];
  }
  for (const std::byte byte : bytes) {
    crc = (crc >> 8) ^ kCrcTables[0][(crc ^ static_cast<uint32_t>(byte)) & 0xff];
  }
  return ~crc;
}

ZipArchive::ZipArchive(std::span<const std::byte> bytes, std::string source)
    : bytes_(bytes), source_(std::move(source)) {
  ReadDirectory(FindDirectory());
}

void ZipArchive::Fail(const std::string& message) const { throw CorruptFile(source_, message); }

std::span<const std::byte> ZipArchive::Slice(uint64_t begin, uint64_t size,
                                             const std::string& what) const {
  if (begin > bytes_.size() || size > bytes_.size() - begin) {
    Fail(what + " lies at byte " + std::to_string(begin) + " and has " + std::to_string(size) +
         " bytes; the file has " + std::to_string(bytes_.size()));
  }
  return bytes_.subspan(begin, size);
}

// The end record. A comment of unknown length follows it, so the search goes backwards.
uint64_t ZipArchive::FindEnd() const {
  if (bytes_.size() >= kEndSize) {
    const size_t last = bytes_.size() - kEndSize;
    const size_t first = last > kMaxComment ? last - kMaxComment : 0;
    for (size_t at = last + 1; at-- > first;) {
      if (Load<uint32_t>(bytes_, at) == kEnd &&
          at + kEndSize + Load<uint16_t>(bytes_, at + 20) == bytes_.size()) {
        return at;
      }
    }
  }
  Fail("is a truncated zip file: it has no end record");
}

ZipArchive::Directory ZipArchive::FindDirectory() const {
  const uint64_t end = FindEnd();
  if (end >= kEnd64LocatorSize &&
      Load<uint32_t>(bytes_, end - kEnd64LocatorSize) == kEnd64Locator) {
    const uint64_t at = Load<uint64_t>(bytes_, end - kEnd64LocatorSize + 8);
    const auto record = Slice(at, kEnd64Size, "the zip64 end record");
    if (Load<uint32_t>(record, 0) != kEnd64) {
      Fail("has no zip64 end record at byte " + std::to_string(at));
    }
    return {Load<uint64_t>(record, 48), Load<uint64_t>(record, 40), Load<uint64_t>(record, 32)};
  }
  return {Load<uint32_t>(bytes_, end + 16), Load<uint32_t>(bytes_, end + 12),
          Load<uint16_t>(bytes_, end + 10)};
}

void ZipArchive::ReadDirectory(const Directory& directory) {
  const auto records = Slice(directory.begin, directory.size, "the zip directory");
  size_t at = 0;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    const std::string place = "zip directory entry " + std::to_string(i) + " at byte " +
                              std::to_string(directory.begin + at);
    if (records.size() - at < kDirectoryHeaderSize ||
        Load<uint32_t>(records, at) != kDirectoryHeader) {
      Fail(place + " is damaged");
    }
    const auto header = records.subspan(at, kDirectoryHeaderSize);
    const size_t name_size = Load<uint16_t>(header, 28);
    const size_t extra_size = Load<uint16_t>(header, 30);
    const size_t size = kDirectoryHeaderSize + name_size + extra_size + Load<uint16_t>(header, 32);
    if (size > records.size() - at) Fail(place + " runs past the directory's end");
    const std::string_view name(
        reinterpret_cast<const char*>(records.data() + at + kDirectoryHeaderSize), name_size);
    Entry entry = {.header = Load<uint32_t>(header, 42),
                   .size = Load<uint32_t>(header, 24),
                   .compressed_size = Load<uint32_t>(header, 20),
                   .crc = Load<uint32_t>(header, 16),
                   .method = Load<uint16_t>(header, 10),
                   .flags = Load<uint16_t>(header, 8)};
    ReadZip64(records.subspan(at + kDirectoryHeaderSize + name_size, extra_size), name, entry);
    if (!entries_.emplace(name, entry).second) Fail("has two entries " + Quote(name));
    at += size;
  }
}

// Numbers that do not fit into 32 bits are in an extra field, in this order.
void ZipArchive::ReadZip64(std::span<const std::byte> extra, std::string_view name,
                           Entry& entry) const {
  constexpr uint64_t kElsewhere = 0xffffffff;
  uint64_t* const fields[] = {&entry.size, &entry.compressed_size, &entry.header};
  while (extra.size() >= 4) {
    const uint16_t id = Load<uint16_t>(extra, 0);
    const size_t size = std::min<size_t>(Load<uint16_t>(extra, 2), extra.size() - 4);
    auto numbers = extra.subspan(4, size);
    for (uint64_t* field : fields) {
      if (id != kZip64Extra || *field != kElsewhere) continue;
      if (numbers.size() < 8) Fail("entry " + Quote(name) + " has a damaged zip64 field");
      *field = Load<uint64_t>(numbers, 0);
      numbers = numbers.subspan(8);
    }
    extra = extra.subspan(4 + size);
  }
}

std::span<const std::byte> ZipArchive::Read(std::string_view name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) Fail("has no entry " + Quote(name));
  const Entry& entry = found->second;
  const std::string what = "entry " + Quote(name);
  if ((entry.flags & 1) != 0) Fail(what + " is encrypted; only plain entries can be read");
  if (entry.method != 0 || entry.compressed_size != entry.size) {
    Fail(what +
         " is compressed; torch.save never compresses. Save the weights again with torch.save of a "
         "current PyTorch, or as safetensors");
  }
  const auto header = Slice(entry.header, kLocalHeaderSize, "the header of " + what);
  if (Load<uint32_t>(header, 0) != kLocalHeader) {
    Fail(what + " has no header at byte " + std::to_string(entry.header));
  }
  const uint64_t begin =
      entry.header + kLocalHeaderSize + Load<uint16_t>(header, 26) + Load<uint16_t>(header, 28);
  const auto bytes = Slice(begin, entry.size, what);
  if (Crc32(bytes) != entry.crc) {
    Fail(what + " does not match its checksum: the file is damaged");
  }
  return bytes;
}

}  // namespace proad::model
