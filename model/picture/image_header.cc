#include "model/picture/image_header.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <string_view>

#include "model/picture/bmp_layout.h"
#include "model/picture/byte_view.h"
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

// Finds a truncated file before libpng does.
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
      if (view.U8(kPayload) != 0x2F) view.Damaged("wrong signature of the VP8L data");
      const uint32_t packed = view.Little32(kPayload + 1);
      header.width = int64_t{packed & 0x3FFF} + 1;
      header.height = int64_t{packed >> 14 & 0x3FFF} + 1;
      return header;
    }
    case Tag("VP8 "):
      if (view.Little24(kPayload + 3) != 0x2A019D) view.Damaged("wrong start code of the VP8 data");
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

// The first bytes of a format; '?' stands for any byte.
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

// Whether the bytes, perhaps fewer, match the signature.
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
  if (bytes.empty()) throw InvalidImage("encoded", "IMAGE_EMPTY", "the image has no bytes");
  const ImageHeader header = ReadHeaderOf(Recognise(bytes), bytes);
  if (header.width == 0 || header.height == 0) {
    throw InvalidImage("encoded", "IMAGE_EMPTY",
                       std::string(NameOf(header.format)) + " file: the image has " +
                           std::to_string(header.width) + " columns and " +
                           std::to_string(header.height) + " rows");
  }
  return header;
}

void ThrowUndecodable(const ImageHeader& header, const std::string& why) {
  throw InvalidImage("encoded", "IMAGE_DECODE_FAILED",
                     std::string(NameOf(header.format)) + " file of " +
                         std::to_string(header.width) + " x " + std::to_string(header.height) +
                         " pixels cannot be decoded: " + why);
}

Image BlankImage(const ImageHeader& header) {
  Image image{.width = static_cast<int>(header.width), .height = static_cast<int>(header.height)};
  image.pixels.resize(size_t{3} * image.width * image.height);
  return image;
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
