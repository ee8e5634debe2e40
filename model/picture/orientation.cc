#include "model/picture/orientation.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "model/files/error.h"
#include "model/picture/byte_view.h"
#include "model/picture/jpeg_markers.h"

namespace proad::model {
namespace {

using namespace std::string_view_literals;

constexpr auto kExifPrefix = "Exif\0\0"sv;

bool BeginsWith(std::span<const uint8_t> bytes, std::string_view text) {
  return bytes.size() >= text.size() &&
         std::equal(text.begin(), text.end(), bytes.begin(),
                    [](char a, uint8_t b) { return uint8_t(a) == b; });
}

// The value in the first directory of a TIFF structure, or 1. Throws InvalidInput if it is damaged.
int OrientationIn(std::span<const uint8_t> tiff) {
  constexpr uint32_t kOrientation = 274;
  const ByteView view(tiff, "TIFF");
  const bool big = view.U8(0) == 'M';
  const auto u16 = [&](uint64_t at) { return big ? view.Big16(at) : view.Little16(at); };
  const auto u32 = [&](uint64_t at) { return big ? view.Big32(at) : view.Little32(at); };
  if (!BeginsWith(tiff, big ? "MM\0*"sv : "II*\0"sv)) return 1;
  const uint64_t directory = u32(4);
  const uint32_t entries = u16(directory);
  for (uint32_t i = 0; i < entries; ++i) {
    const uint64_t at = directory + 2 + 12ull * i;
    if (u16(at) != kOrientation) continue;
    const uint32_t type = u16(at + 2);  // 1: byte, 3: short, 4: long
    const uint32_t value = type == 1   ? view.U8(at + 8)
                           : type == 3 ? u16(at + 8)
                           : type == 4 ? u32(at + 8)
                                       : 1;
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

// EXIF data may have the prefix that it has in JPEG files.
int OrientationInExif(std::span<const uint8_t> exif) {
  if (BeginsWith(exif, kExifPrefix)) exif = exif.subspan(kExifPrefix.size());
  return exif.empty() ? 1 : OrientationIn(exif);
}

std::span<const uint8_t> FindPngExif(std::span<const uint8_t> bytes) {
  const ByteView view(bytes, "PNG");
  for (uint64_t at = 8; view.Holds(at, 8);) {
    const uint64_t length = view.Big32(at);
    view.Require(at + 8, length);
    const auto chunk = bytes.subspan(at + 4);
    if (BeginsWith(chunk, "eXIf"sv)) return bytes.subspan(at + 8, length);
    if (BeginsWith(chunk, "IEND"sv)) break;
    at += 12 + length;
  }
  return {};
}

std::span<const uint8_t> FindWebPExif(std::span<const uint8_t> bytes) {
  const ByteView view(bytes, "WebP");
  for (uint64_t at = 12; view.Holds(at, 8);) {
    const uint64_t length = view.Little32(at + 4);
    view.Require(at + 8, length);
    if (BeginsWith(bytes.subspan(at), "EXIF"sv)) return bytes.subspan(at + 8, length);
    at += 8 + length + length % 2;
  }
  return {};
}

int ReadTag(std::span<const uint8_t> bytes, ImageFormat format) {
  switch (format) {
    case ImageFormat::kJpeg:
      return OrientationInExif(FindJpegExif(bytes));
    case ImageFormat::kPng:
      return OrientationInExif(FindPngExif(bytes));
    case ImageFormat::kWebP:
      return OrientationInExif(FindWebPExif(bytes));
    case ImageFormat::kTiff:
      return OrientationIn(bytes);
    case ImageFormat::kBmp:
      return 1;
  }
  return 1;
}

}  // namespace

int ReadOrientation(std::span<const uint8_t> bytes, ImageFormat format) {
  try {
    return ReadTag(bytes, format);
  } catch (const InvalidInput&) {
    return 1;
  }
}

std::vector<uint8_t> ToUpright(std::vector<uint8_t> stored, int width, int height, int channels,
                               int orientation) {
  if (orientation <= 1 || orientation > 8) return stored;
  const ptrdiff_t w = width;
  const ptrdiff_t h = height;
  // The stored pixel of (x, y) is begin + x * right + y * down, in pixels.
  struct Steps {
    ptrdiff_t begin, right, down;
  };
  const std::array<Steps, 7> kSteps = {{{w - 1, -1, w},
                                        {w * h - 1, -1, -w},
                                        {w * (h - 1), 1, -w},
                                        {0, w, 1},
                                        {w * (h - 1), -w, 1},
                                        {w * h - 1, -w, -1},
                                        {w - 1, w, -1}}};
  const Steps& steps = kSteps[static_cast<size_t>(orientation - 2)];
  const ptrdiff_t columns = SwapsSides(orientation) ? h : w;
  const ptrdiff_t rows = SwapsSides(orientation) ? w : h;
  std::vector<uint8_t> upright(stored.size());
  uint8_t* out = upright.data();
  for (ptrdiff_t y = 0; y < rows; ++y) {
    for (ptrdiff_t x = 0; x < columns; ++x, out += channels) {
      const ptrdiff_t from = steps.begin + x * steps.right + y * steps.down;
      std::copy_n(stored.data() + channels * from, channels, out);
    }
  }
  return upright;
}

Image ToUpright(Image stored, int orientation) {
  Image upright{.width = stored.width, .height = stored.height};
  if (SwapsSides(orientation)) std::swap(upright.width, upright.height);
  upright.pixels = ToUpright(std::move(stored.pixels), stored.width, stored.height, 3, orientation);
  return upright;
}

}  // namespace proad::model
