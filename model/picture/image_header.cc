#include "model/picture/image_header.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <string_view>

#include "model/files/byte_view.h"
#include "model/picture/jpeg_markers.h"
#include "model/picture/tiff_directory.h"

namespace proad::model {
namespace {

constexpr uint32_t Tag(const char (&name)[5]) {
  return uint32_t(uint8_t(name[0])) << 24 | uint32_t(uint8_t(name[1])) << 16 |
         uint32_t(uint8_t(name[2])) << 8 | uint8_t(name[3]);
}

// ---------------------------------------------------------------- PNG (RFC 2083)

ImageHeader ReadPngHeader(std::span<const uint8_t> bytes) {
  const ByteView view(bytes, "PNG");
  view.Require(8, 25);
  if (view.Big32(8) != 13 || view.Big32(12) != Tag("IHDR")) {
    view.Damaged("it does not begin with an IHDR chunk");
  }
  return {.format = ImageFormat::kPng,
          .width = view.Big32(16),
          .height = view.Big32(20),
          .bits_per_sample = view.U8(24)};
}

// libpng notices by itself, but writes to stderr when it does.
void CheckPngComplete(std::span<const uint8_t> bytes) {
  const ByteView view(bytes, "PNG");
  uint64_t at = 8;
  while (true) {
    const uint32_t length = view.Big32(at);
    const uint32_t type = view.Big32(at + 4);
    view.Require(at + 8, uint64_t{length} + 4);
    if (type == Tag("IEND")) return;
    at += 12 + uint64_t{length};
  }
}

// ---------------------------------------------------------------- BMP (BITMAPCOREHEADER,
// BITMAPINFOHEADER, V4, V5)

struct BmpLayout {
  ImageHeader header;
  int bits_per_pixel = 0;
  uint64_t pixels_at = 0;
};

// Palette and colour masks, in the places that OpenCV reads them from.
void CheckBmpColours(const ByteView& view, uint64_t header_size, const BmpLayout& bmp) {
  const int bits = bmp.bits_per_pixel;
  const bool core = header_size == 12;
  const uint32_t compression = core ? 0 : view.Little32(30);
  constexpr uint32_t kBitfields = 3;
  if (bits != 1 && bits != 4 && bits != 8 && bits != 24 && bits != 32) {
    view.Unsupported(std::to_string(bits) +
                     " bits a pixel are not supported; 1, 4, 8, 24 and 32 are");
  }
  if (compression != 0 && !(compression == kBitfields && bits == 32)) {
    view.Unsupported("compression " + std::to_string(compression) +
                     " is not supported; uncompressed pixels are");
  }
  // After a 40 byte header the masks follow it; in a longer one they are its next fields, at the
  // same place.
  if (compression == kBitfields &&
      (view.Little32(54) != 0xFF0000 || view.Little32(58) != 0xFF00 || view.Little32(62) != 0xFF)) {
    view.Unsupported("colour masks other than blue, green, red, unused are not supported");
  }
  if (bits <= 8) {
    const uint32_t used = core ? 0 : view.Little32(46);
    if (used > 1u << bits) {
      view.Damaged("a palette of " + std::to_string(used) + " colours for " + std::to_string(bits) +
                   " bits a pixel");
    }
    const uint64_t colours = used == 0 ? 1u << bits : used;
    view.Require(14 + header_size, colours * (core ? 3 : 4));
  }
}

BmpLayout ReadBmpLayout(std::span<const uint8_t> bytes) {
  const ByteView view(bytes, "BMP");
  const uint32_t header_size = view.Little32(14);
  BmpLayout bmp;
  bmp.header.format = ImageFormat::kBmp;
  bmp.pixels_at = view.Little32(10);
  if (header_size == 12) {
    bmp.header.width = view.Little16(18);
    bmp.header.height = view.Little16(20);
    bmp.bits_per_pixel = view.Little16(24);
  } else {
    constexpr std::array<uint32_t, 6> kSizes = {40, 52, 56, 64, 108, 124};
    if (std::find(kSizes.begin(), kSizes.end(), header_size) == kSizes.end()) {
      view.Damaged("a header of " + std::to_string(header_size) + " bytes");
    }
    view.Require(14, header_size);
    bmp.header.width = static_cast<int32_t>(view.Little32(18));
    // Negative: rows are stored from the top.
    bmp.header.height = std::abs(int64_t{static_cast<int32_t>(view.Little32(22))});
    bmp.bits_per_pixel = view.Little16(28);
  }
  if (bmp.header.width < 0) view.Damaged("negative width");
  CheckBmpColours(view, header_size, bmp);
  bmp.header.bits_per_sample = std::min(bmp.bits_per_pixel, 8);
  if (bmp.pixels_at < 14 + uint64_t{header_size}) {
    view.Damaged("its pixels begin inside its header");
  }
  return bmp;
}

void CheckBmpComplete(std::span<const uint8_t> bytes) {
  const BmpLayout bmp = ReadBmpLayout(bytes);
  const uint64_t row_bytes =
      (static_cast<uint64_t>(bmp.header.width) * bmp.bits_per_pixel + 31) / 32 * 4;
  ByteView(bytes, "BMP").Require(bmp.pixels_at, row_bytes * bmp.header.height);
}

// ---------------------------------------------------------------- WebP (RFC 9649)

ImageHeader ReadWebPHeader(std::span<const uint8_t> bytes) {
  const ByteView view(bytes, "WebP");
  ImageHeader header{.format = ImageFormat::kWebP};
  constexpr uint64_t kPayload = 20;
  switch (view.Big32(12)) {
    case Tag("VP8X"):
      if (view.U8(kPayload) & 0x02) view.Unsupported("animation is not supported");
      header.width = int64_t{view.Little24(kPayload + 4)} + 1;
      header.height = int64_t{view.Little24(kPayload + 7)} + 1;
      return header;
    case Tag("VP8L"): {
      if (view.U8(kPayload) != 0x2F) view.Damaged("bad signature of its lossless picture");
      const uint32_t packed = view.Little32(kPayload + 1);
      header.width = int64_t{packed & 0x3FFF} + 1;
      header.height = int64_t{packed >> 14 & 0x3FFF} + 1;
      return header;
    }
    case Tag("VP8 "):
      if (view.Little24(kPayload + 3) != 0x2A019D) view.Damaged("bad start code of its picture");
      header.width = view.Little16(kPayload + 6) & 0x3FFF;
      header.height = view.Little16(kPayload + 8) & 0x3FFF;
      return header;
    default:
      view.Damaged("it begins with neither a VP8, a VP8L nor a VP8X chunk");
  }
}

void CheckWebPComplete(std::span<const uint8_t> bytes) {
  const ByteView view(bytes, "WebP");
  view.Require(8, view.Little32(4));
}

// ---------------------------------------------------------------- all

// What a format's files begin with; '?' stands for any byte.
struct Signature {
  ImageFormat format;
  std::string_view begin;
};

using namespace std::string_view_literals;
constexpr std::array<Signature, 8> kSignatures = {{
    {ImageFormat::kJpeg, "\xFF\xD8\xFF"sv},
    {ImageFormat::kPng, "\x89PNG\r\n\x1A\n"sv},
    {ImageFormat::kBmp, "BM"sv},
    {ImageFormat::kTiff, "II*\0"sv},
    {ImageFormat::kTiff, "MM\0*"sv},
    {ImageFormat::kTiff, "II+\0"sv},
    {ImageFormat::kTiff, "MM\0+"sv},
    {ImageFormat::kWebP, "RIFF????WEBP"sv},
}};

// Whether the bytes agree with a signature as far as they go.
bool Matches(std::span<const uint8_t> bytes, std::string_view begin) {
  for (size_t i = 0; i < std::min(bytes.size(), begin.size()); ++i) {
    if (begin[i] != '?' && static_cast<uint8_t>(begin[i]) != bytes[i]) return false;
  }
  return true;
}

ImageFormat Recognise(std::span<const uint8_t> bytes) {
  for (const Signature& signature : kSignatures) {
    if (!Matches(bytes, signature.begin)) continue;
    ByteView(bytes, NameOf(signature.format)).Require(0, signature.begin.size());
    return signature.format;
  }
  std::string begin;
  for (size_t i = 0; i < std::min<size_t>(bytes.size(), 8); ++i) {
    char hex[4];
    std::snprintf(hex, sizeof(hex), " %02X", bytes[i]);
    begin += hex;
  }
  throw InvalidImage(
      "encoded", "IMAGE_FORMAT_UNSUPPORTED",
      "the bytes are not a JPEG, PNG, BMP, TIFF or WebP file; they begin with" + begin);
}

ImageHeader ReadHeaderOf(ImageFormat format, std::span<const uint8_t> bytes) {
  switch (format) {
    case ImageFormat::kJpeg:
      return ReadJpegHeader(bytes);
    case ImageFormat::kPng:
      return ReadPngHeader(bytes);
    case ImageFormat::kBmp:
      return ReadBmpLayout(bytes).header;
    case ImageFormat::kTiff:
      return ReadTiffDirectory(bytes).header;
    case ImageFormat::kWebP:
      return ReadWebPHeader(bytes);
  }
  __builtin_unreachable();
}

}  // namespace

const char* NameOf(ImageFormat format) {
  constexpr std::array<const char*, 5> kNames = {"JPEG", "PNG", "BMP", "TIFF", "WebP"};
  return kNames[static_cast<size_t>(format)];
}

ImageHeader ReadImageHeader(std::span<const uint8_t> bytes) {
  if (bytes.empty()) throw InvalidImage("encoded", "IMAGE_EMPTY", "the picture has no bytes");
  const ImageHeader header = ReadHeaderOf(Recognise(bytes), bytes);
  if (header.width == 0 || header.height == 0) {
    throw InvalidImage("encoded", "IMAGE_EMPTY",
                       std::string(NameOf(header.format)) + " file: the picture has " +
                           std::to_string(header.width) + " columns and " +
                           std::to_string(header.height) + " rows");
  }
  return header;
}

void CheckComplete(std::span<const uint8_t> bytes, const ImageHeader& header) {
  switch (header.format) {
    case ImageFormat::kJpeg:
      return CheckJpegComplete(bytes);
    case ImageFormat::kPng:
      return CheckPngComplete(bytes);
    case ImageFormat::kBmp:
      return CheckBmpComplete(bytes);
    case ImageFormat::kTiff:
      return CheckTiffComplete(bytes);
    case ImageFormat::kWebP:
      return CheckWebPComplete(bytes);
  }
}

}  // namespace proad::model
