#include "model/picture/bmp_layout.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>

#include "model/picture/byte_view.h"

namespace proad::model {
namespace {

constexpr uint64_t kFileHeader = 14;  // bytes of BITMAPFILEHEADER
constexpr size_t kPixelOffset = 10;   // position of bfOffBits

// Size of the palette at `begin`. The core header does not state its number of colours: there a
// short palette ends where the pixels begin.
uint64_t PaletteBytes(const ByteView& view, uint64_t begin, bool core, const BmpLayout& bmp) {
  const uint64_t most = uint64_t{1} << bmp.bits_per_pixel;
  const uint64_t entry = core ? 3 : 4;
  uint64_t colours = core ? 0 : view.Little32(46);
  if (colours > most) {
    view.Damaged("a palette of " + std::to_string(colours) + " colours for " +
                 std::to_string(bmp.bits_per_pixel) + " bits a pixel");
  }
  if (core && bmp.stored_pixels_at > begin && (bmp.stored_pixels_at - begin) % entry == 0) {
    colours = std::min(most, (bmp.stored_pixels_at - begin) / entry);
  }
  const uint64_t size = (colours == 0 ? most : colours) * entry;
  view.Require(begin, size);
  return size;
}

// Checks palette and colour masks at the positions from which OpenCV reads them. Returns the
// position behind them.
uint64_t CheckColours(const ByteView& view, uint64_t header_size, const BmpLayout& bmp) {
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
  // The masks follow a 40 byte header; in longer headers they are fields at the same position.
  if (compression == kBitfields &&
      (view.Little32(54) != 0xFF0000 || view.Little32(58) != 0xFF00 || view.Little32(62) != 0xFF)) {
    view.Unsupported("colour masks other than blue, green, red, unused are not supported");
  }
  uint64_t end = kFileHeader + header_size;
  if (compression == kBitfields && header_size == 40) end += 12;
  if (bits <= 8) end += PaletteBytes(view, end, core, bmp);
  return end;
}

}  // namespace

BmpLayout ReadBmpLayout(std::span<const uint8_t> bytes) {
  const ByteView view(bytes, "BMP");
  const uint32_t header_size = view.Little32(14);
  BmpLayout bmp;
  bmp.header.format = ImageFormat::kBmp;
  bmp.stored_pixels_at = view.Little32(10);
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
  const uint64_t header_end = CheckColours(view, header_size, bmp);
  bmp.header.bits_per_sample = std::min(bmp.bits_per_pixel, 8);
  // A stated position directly behind the info header ignores palette and masks.
  const bool ignores_colours = bmp.stored_pixels_at == kFileHeader + header_size;
  bmp.pixels_at = ignores_colours ? header_end : bmp.stored_pixels_at;
  if (bmp.pixels_at < header_end) {
    view.Damaged("the pixels begin at byte " + std::to_string(bmp.pixels_at) +
                 ", inside the header, which ends at byte " + std::to_string(header_end));
  }
  return bmp;
}

void CheckBmpComplete(std::span<const uint8_t> bytes) {
  const BmpLayout bmp = ReadBmpLayout(bytes);
  const uint64_t row_bytes =
      (static_cast<uint64_t>(bmp.header.width) * bmp.bits_per_pixel + 31) / 32 * 4;
  ByteView(bytes, "BMP").Require(bmp.pixels_at, row_bytes * bmp.header.height);
}

std::vector<uint8_t> WithRightPixelOffset(std::span<const uint8_t> bytes, const BmpLayout& layout) {
  std::vector<uint8_t> file(bytes.begin(), bytes.end());
  for (int i = 0; i < 4; ++i) {
    file[kPixelOffset + i] = static_cast<uint8_t>(layout.pixels_at >> 8 * i);
  }
  return file;
}

}  // namespace proad::model
