#include "model/picture/tiff_decoder.h"

#include <tiffio.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "model/picture/tiff_source.h"

namespace proad::model {
namespace {

// The 8 bit RGB values of all samples of a palette or grey image.
using Colours = std::array<std::array<uint8_t, 3>, 256>;

Colours GreyColours(bool white_at_zero) {
  Colours colours;
  for (int i = 0; i < 256; ++i) colours[i].fill(static_cast<uint8_t>(white_at_zero ? 255 - i : i));
  return colours;
}

// The entries have 16 bits; old writers store 8 bit values in them.
Colours PaletteColours(TIFF* tiff, const ImageHeader& header) {
  std::array<uint16_t*, 3> maps = {};
  if (TIFFGetField(tiff, TIFFTAG_COLORMAP, &maps[0], &maps[1], &maps[2]) != 1) {
    ThrowUndecodable(header, "its palette cannot be read");
  }
  bool wide = false;
  for (const uint16_t* map : maps) {
    wide = wide || std::any_of(map, map + 256, [](uint16_t value) { return value > 255; });
  }
  Colours colours;
  for (int i = 0; i < 256; ++i) {
    for (int c = 0; c < 3; ++c) {
      colours[i][c] = static_cast<uint8_t>(wide ? maps[c][i] >> 8 : maps[c][i]);
    }
  }
  return colours;
}

// Converts the samples of one row to RGB.
class RowConverter {
 public:
  RowConverter(TIFF* tiff, const TiffDirectory& directory)
      : samples_(static_cast<int>(directory.samples_per_pixel)),
        wide_(directory.header.bits_per_sample == 16) {
    if (directory.photometric == PHOTOMETRIC_PALETTE) {
      colours_ = PaletteColours(tiff, directory.header);
    } else {
      colours_ = GreyColours(directory.photometric == PHOTOMETRIC_MINISWHITE);
    }
  }

  void Convert(const uint8_t* row, int width, uint8_t* rgb) const {
    for (int x = 0; x < width; ++x, rgb += 3) {
      if (samples_ == 1) {
        const std::array<uint8_t, 3>& colour = colours_[Sample(row, x)];
        std::copy(colour.begin(), colour.end(), rgb);
      } else {
        for (int c = 0; c < 3; ++c) rgb[c] = Sample(row, samples_ * x + c);
      }
    }
  }

 private:
  // libtiff has converted 16 bit samples to the machine's byte order.
  uint8_t Sample(const uint8_t* row, int index) const {
    if (!wide_) return row[index];
    uint16_t sample = 0;
    std::memcpy(&sample, row + size_t{2} * index, sizeof sample);
    return ScaleTo8Bit(sample);
  }

  const int samples_;
  const bool wide_;
  Colours colours_;
};

void DecodeStrips(TIFF* tiff, TiffSource& source, const TiffDirectory& directory, Image& image) {
  const ImageHeader& header = directory.header;
  const RowConverter converter(tiff, directory);
  const size_t row_bytes =
      size_t{directory.samples_per_pixel} * image.width * (header.bits_per_sample / 8);
  std::vector<uint8_t> strip(row_bytes * directory.rows_per_strip);
  source.in_pixels = true;
  for (int y = 0; y < image.height; y += static_cast<int>(directory.rows_per_strip)) {
    const int rows = std::min(static_cast<int>(directory.rows_per_strip), image.height - y);
    const auto size = static_cast<tmsize_t>(row_bytes * rows);
    const uint32_t number = static_cast<uint32_t>(y) / directory.rows_per_strip;
    const tmsize_t got = TIFFReadEncodedStrip(tiff, number, strip.data(), size);
    if (got != size || !source.damage.empty()) {
      ThrowUndecodable(header, "strip " + std::to_string(number) + " is damaged" +
                                   (source.damage.empty() ? "" : ": " + source.damage));
    }
    for (int row = 0; row < rows; ++row) {
      converter.Convert(strip.data() + row_bytes * row, image.width,
                        image.pixels.data() + size_t{3} * image.width * (y + row));
    }
  }
}

}  // namespace

Image DecodeTiff(std::span<const uint8_t> bytes, const TiffDirectory& directory,
                 DecodeDiagnostics& diagnostics) {
  Image image = BlankImage(directory.header);
  TiffSource source{.bytes = bytes};
  const TiffHandle tiff = OpenTiff(source);
  if (tiff == nullptr) {
    ThrowUndecodable(directory.header, "its directory is damaged: " + source.damage);
  }
  if (TIFFStripSize64(tiff.get()) != uint64_t{directory.samples_per_pixel} * image.width *
                                         (directory.header.bits_per_sample / 8) *
                                         directory.rows_per_strip) {
    ThrowUndecodable(directory.header, "its strips do not match its header");
  }
  DecodeStrips(tiff.get(), source, directory, image);
  diagnostics.dropped_warnings += source.dropped_warnings;
  return image;
}

}  // namespace proad::model
