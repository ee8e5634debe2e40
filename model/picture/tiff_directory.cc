#include "model/picture/tiff_directory.h"

#include <algorithm>
#include <array>
#include <string>

#include "model/picture/byte_view.h"

namespace proad::model {
namespace {

// The tags that say how pixels are stored.
enum Tag : uint32_t {
  kWidth = 256,
  kHeight = 257,
  kBits = 258,
  kCompression = 259,
  kPhotometric = 262,
  kStripOffsets = 273,
  kSamples = 277,
  kRowsPerStrip = 278,
  kStripSizes = 279,
  kPlanar = 284,
  kColourMap = 320,
  kTileWidth = 322,
  kTileHeight = 323,
  kTileOffsets = 324,
  kTileSizes = 325,
  kSampleFormat = 339,
  kMaxSample = 281,
  kSMaxSample = 341,
};

constexpr uint32_t kByte = 1;
constexpr uint32_t kAscii = 2;
constexpr uint32_t kShort = 3;
constexpr uint32_t kLong = 4;

constexpr uint32_t kUncompressed = 1;
constexpr uint32_t kMinIsWhite = 0;
constexpr uint32_t kMinIsBlack = 1;
constexpr uint32_t kRgb = 2;
constexpr uint32_t kPalette = 3;

struct Entry {
  bool present = false;
  uint32_t type = 0;
  uint32_t count = 0;
  uint64_t at = 0;  // of the first value
};

class TiffReader {
 public:
  explicit TiffReader(std::span<const uint8_t> bytes) : view_(bytes, "TIFF") {
    big_endian_ = view_.U8(0) == 'M';
    const uint32_t version = U16(2);
    if (version == 43) view_.Unsupported("BigTIFF is not supported; classic TIFF is");
    if (version != 42) view_.Damaged("version " + std::to_string(version) + " instead of 42");
    const uint64_t directory = U32(4);
    const uint32_t entries = U16(directory);
    view_.Require(directory + 2, 12ull * entries);
    for (uint32_t i = 0; i < entries; ++i) AddEntry(directory + 2 + 12ull * i);
  }

  const ByteView& view() const { return view_; }

  uint32_t U16(uint64_t at) const { return big_endian_ ? view_.Big16(at) : view_.Little16(at); }
  uint32_t U32(uint64_t at) const { return big_endian_ ? view_.Big32(at) : view_.Little32(at); }

  bool Has(Tag tag) const { return At(tag).present; }

  // The values of a tag; AddEntry checked that they lie inside the file.
  const Entry& Get(Tag tag) const {
    const Entry& entry = At(tag);
    if (!entry.present) view_.Damaged("tag " + std::to_string(tag) + " is missing");
    return entry;
  }

  uint32_t Value(const Entry& entry, uint32_t index) const {
    switch (entry.type) {
      case kByte:
        return view_.U8(entry.at + index);
      case kShort:
        return U16(entry.at + 2ull * index);
      default:
        return U32(entry.at + 4ull * index);
    }
  }

  // The only value of a tag.
  uint32_t One(Tag tag) const {
    const Entry& entry = Get(tag);
    if (entry.count != 1) {
      view_.Damaged("tag " + std::to_string(tag) + " has " + std::to_string(entry.count) +
                    " values instead of 1");
    }
    return Value(entry, 0);
  }
  uint32_t One(Tag tag, uint32_t otherwise) const { return Has(tag) ? One(tag) : otherwise; }

  // The value that a tag states for every sample of a pixel.
  uint32_t PerSample(Tag tag, uint32_t samples, uint32_t otherwise) const {
    if (!Has(tag)) return otherwise;
    const Entry& entry = Get(tag);
    if (entry.count != samples && entry.count != 1) {
      view_.Damaged("tag " + std::to_string(tag) + " has " + std::to_string(entry.count) +
                    " values for " + std::to_string(samples) + " samples a pixel");
    }
    for (uint32_t i = 1; i < entry.count; ++i) {
      if (Value(entry, i) != Value(entry, 0)) {
        view_.Unsupported("samples of different kinds in one pixel are not supported");
      }
    }
    return Value(entry, 0);
  }

 private:
  static constexpr std::array<Tag, 18> kTags = {
      kWidth,      kHeight,       kBits,       kCompression,  kPhotometric, kStripOffsets,
      kSamples,    kRowsPerStrip, kStripSizes, kPlanar,       kColourMap,   kTileWidth,
      kTileHeight, kTileOffsets,  kTileSizes,  kSampleFormat, kMaxSample,   kSMaxSample};

  const Entry& At(Tag tag) const {
    return entries_[std::find(kTags.begin(), kTags.end(), tag) - kTags.begin()];
  }

  // A tag that an image can do without: a value of another type is not used.
  static bool IsHint(Tag tag) { return tag == kMaxSample || tag == kSMaxSample; }

  void AddEntry(uint64_t at) {
    const uint32_t tag = U16(at);
    const auto known = std::find(kTags.begin(), kTags.end(), tag);
    if (known == kTags.end()) return;
    Entry& entry = entries_[known - kTags.begin()];
    if (entry.present) view_.Damaged("tag " + std::to_string(tag) + " occurs twice");
    entry = {.present = true, .type = U16(at + 2), .count = U32(at + 4), .at = at + 8};
    if (IsHint(known[0]) &&
        (entry.count == 0 || entry.type < kByte || entry.type > kLong || entry.type == kAscii)) {
      entry = {};
      return;
    }
    if (entry.type != kByte && entry.type != kShort && entry.type != kLong) {
      view_.Damaged("tag " + std::to_string(tag) + " is of type " + std::to_string(entry.type) +
                    "; an unsigned integer of at most 32 bit is expected");
    }
    if (entry.count == 0) view_.Damaged("tag " + std::to_string(tag) + " has no value");
    const uint64_t size = uint64_t{entry.count} * (entry.type == kByte    ? 1
                                                   : entry.type == kShort ? 2
                                                                          : 4);
    if (size > 4) entry.at = U32(at + 8);
    view_.Require(entry.at, size);
  }

  ByteView view_;
  bool big_endian_ = false;
  std::array<Entry, kTags.size()> entries_;
};

void CheckLayout(const TiffReader& tiff, uint32_t samples, uint32_t bits) {
  const ByteView& view = tiff.view();
  if (tiff.Has(kTileWidth) || tiff.Has(kTileHeight) || tiff.Has(kTileOffsets) ||
      tiff.Has(kTileSizes)) {
    view.Unsupported("tiles are not supported; strips are");
  }
  const uint32_t format = tiff.PerSample(kSampleFormat, samples, 1);
  if (format != 1 || (bits != 8 && bits != 16)) {
    const char* kind = format == 1   ? "unsigned"
                       : format == 2 ? "signed"
                       : format == 3 ? "floating-point"
                                     : "undefined";
    view.Unsupported(std::to_string(bits) + " bit " + kind +
                     " samples are not supported; 8 or 16 bit unsigned ones are");
  }
  if (samples > 1 && tiff.One(kPlanar, 1) != 1) {
    view.Unsupported("separate colour planes are not supported; interleaved samples are");
  }
  const uint32_t compression = tiff.One(kCompression, kUncompressed);
  constexpr std::array<uint32_t, 5> kCompressions = {kUncompressed, 5, 8, 32773, 32946};
  if (std::find(kCompressions.begin(), kCompressions.end(), compression) == kCompressions.end()) {
    view.Unsupported("compression " + std::to_string(compression) +
                     " is not supported; none, LZW, Deflate and PackBits are");
  }
}

void CheckColours(const TiffReader& tiff, uint32_t samples, uint32_t bits) {
  const uint32_t photometric = tiff.One(kPhotometric);
  const bool supported = (photometric == kMinIsBlack && samples == 1) ||
                         (photometric == kMinIsWhite && samples == 1 && bits == 8) ||
                         (photometric == kRgb && (samples == 3 || samples == 4)) ||
                         (photometric == kPalette && samples == 1 && bits == 8);
  if (!supported) {
    tiff.view().Unsupported("photometric interpretation " + std::to_string(photometric) + " with " +
                            std::to_string(samples) + " samples of " + std::to_string(bits) +
                            " bit is not supported; grey, RGB, RGBA and 8 bit palettes are");
  }
  if (photometric == kPalette && tiff.Get(kColourMap).count != 3u << bits) {
    tiff.view().Damaged("its palette does not have " + std::to_string(1u << bits) + " colours");
  }
}

int SignificantBitsOf(const TiffReader& tiff, uint32_t bits) {
  if (bits != 16) return static_cast<int>(bits);
  for (const Tag tag : {kMaxSample, kSMaxSample}) {
    if (!tiff.Has(tag)) continue;
    const uint32_t largest = tiff.Value(tiff.Get(tag), 0);
    for (int n = 8; n < 16; ++n) {
      if (largest == (1u << n) - 1) return n;
    }
  }
  return 16;
}

}  // namespace

TiffDirectory ReadTiffDirectory(std::span<const uint8_t> bytes) {
  const TiffReader tiff(bytes);
  TiffDirectory directory;
  const uint32_t samples = tiff.One(kSamples, 1);
  const uint32_t bits = tiff.PerSample(kBits, samples, 1);
  directory.header = {.format = ImageFormat::kTiff,
                      .width = tiff.One(kWidth),
                      .height = tiff.One(kHeight),
                      .bits_per_sample = static_cast<int>(std::min(bits, 65535u))};
  CheckLayout(tiff, samples, bits);
  CheckColours(tiff, samples, bits);
  directory.compression = tiff.One(kCompression, kUncompressed);
  directory.samples_per_pixel = samples;
  directory.photometric = tiff.One(kPhotometric);
  directory.significant_bits = SignificantBitsOf(tiff, bits);

  const uint32_t height = tiff.One(kHeight);
  directory.rows_per_strip = std::min(tiff.One(kRowsPerStrip, height), height);
  if (height > 0 && directory.rows_per_strip == 0) tiff.view().Damaged("strips of 0 rows");
  const Entry& offsets = tiff.Get(kStripOffsets);
  const Entry& sizes = tiff.Get(kStripSizes);
  if (height > 0) {
    const uint32_t strips = (height - 1) / directory.rows_per_strip + 1;
    if (offsets.type == kByte || sizes.type == kByte || offsets.count != strips ||
        sizes.count != strips) {
      tiff.view().Damaged("it does not list the " + std::to_string(strips) +
                          " strips of its image");
    }
  }

  return directory;
}

void CheckTiffComplete(std::span<const uint8_t> bytes) {
  const TiffReader tiff(bytes);
  const TiffDirectory directory = ReadTiffDirectory(bytes);
  const uint64_t row_bytes = static_cast<uint64_t>(directory.header.width) *
                             directory.samples_per_pixel * (directory.header.bits_per_sample / 8);
  const Entry& offsets = tiff.Get(kStripOffsets);
  const Entry& sizes = tiff.Get(kStripSizes);
  for (uint32_t strip = 0; strip < offsets.count; ++strip) {
    const uint64_t first_row = uint64_t{strip} * directory.rows_per_strip;
    const uint64_t rows =
        std::min<uint64_t>(directory.rows_per_strip, directory.header.height - first_row);
    const uint32_t size = tiff.Value(sizes, strip);
    tiff.view().Require(tiff.Value(offsets, strip), size);
    const uint64_t needed = directory.compression == kUncompressed ? rows * row_bytes : 1;
    if (size < needed) {
      tiff.view().Damaged("strip " + std::to_string(strip) + " has " + std::to_string(size) +
                          " bytes instead of " + std::to_string(needed));
    }
  }
}

}  // namespace proad::model
