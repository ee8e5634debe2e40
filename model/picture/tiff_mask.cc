#include "model/picture/tiff_mask.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "model/files/error.h"
#include "model/picture/tiff_source.h"

namespace proad::model {
namespace {

[[noreturn]] void RefuseDamaged(const std::string& why) {
  throw InvalidImage("encoded", "IMAGE_DECODE_FAILED", "TIFF file: " + why);
}

[[noreturn]] void RefuseKind(const std::string& why) {
  throw InvalidImage("encoded", "IMAGE_FORMAT_UNSUPPORTED", "TIFF mask: " + why);
}

// The tags that say how samples are stored.
struct MaskTags {
  ImageHeader header;
  uint16_t bits = 1;
  uint16_t samples = 1;
  uint16_t format = SAMPLEFORMAT_UINT;
  uint16_t photometric = PHOTOMETRIC_MINISBLACK;
};

ImageHeader HeaderOf(TIFF* tiff) {
  uint32_t width = 0;
  uint32_t height = 0;
  TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
  TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
  if (width == 0 || height == 0) RefuseDamaged("it states no width or no height");
  return {.format = ImageFormat::kTiff, .width = width, .height = height};
}

TiffHandle OpenMask(TiffSource& source) {
  TiffHandle tiff = OpenTiff(source);
  if (tiff == nullptr) RefuseDamaged("its directory is damaged: " + source.damage);
  return tiff;
}

int Colours(const MaskTags& tags) { return tags.photometric == PHOTOMETRIC_RGB ? 3 : 1; }

void CheckKind(TIFF* tiff, const MaskTags& tags) {
  if (TIFFIsTiled(tiff) != 0) RefuseKind("tiles are not supported; strips are");
  uint16_t compression = COMPRESSION_NONE;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &compression);
  constexpr std::array<uint16_t, 8> kLossless = {
      COMPRESSION_NONE, COMPRESSION_CCITTRLE,      COMPRESSION_CCITTFAX3, COMPRESSION_CCITTFAX4,
      COMPRESSION_LZW,  COMPRESSION_ADOBE_DEFLATE, COMPRESSION_PACKBITS,  COMPRESSION_DEFLATE};
  if (std::find(kLossless.begin(), kLossless.end(), compression) == kLossless.end()) {
    RefuseKind("compression " + std::to_string(compression) +
               " is not supported; none, LZW, Deflate, PackBits and fax are");
  }
  const bool grey =
      tags.photometric == PHOTOMETRIC_MINISBLACK || tags.photometric == PHOTOMETRIC_MINISWHITE;
  const bool palette =
      tags.photometric == PHOTOMETRIC_PALETTE && tags.samples == 1 && tags.bits <= 8;
  if (!grey && !palette && !(tags.photometric == PHOTOMETRIC_RGB && tags.samples >= 3)) {
    RefuseKind("photometric interpretation " + std::to_string(tags.photometric) + " with " +
               std::to_string(tags.samples) +
               " samples is not supported; grey, RGB and palettes are");
  }
  const bool small = tags.bits == 1 || tags.bits == 2 || tags.bits == 4;
  const bool whole = tags.bits == 8 || tags.bits == 16 || tags.bits == 32 || tags.bits == 64;
  const bool floating = tags.format == SAMPLEFORMAT_IEEEFP;
  const bool known = floating || tags.format == SAMPLEFORMAT_UINT ||
                     tags.format == SAMPLEFORMAT_INT || tags.format == SAMPLEFORMAT_VOID;
  if (!known || (!small && !whole) || (floating && tags.bits < 16) || (small && tags.samples > 1)) {
    RefuseKind(std::to_string(tags.samples) + " samples of " + std::to_string(tags.bits) +
               " bits and format " + std::to_string(tags.format) +
               " are not supported; integers of 1 to 64 bits and floating-point numbers are");
  }
}

MaskTags ReadTags(TIFF* tiff) {
  MaskTags tags{.header = HeaderOf(tiff)};
  uint16_t planar = PLANARCONFIG_CONTIG;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &tags.bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &tags.samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &tags.format);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &planar);
  if (TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &tags.photometric) != 1) {
    tags.photometric = tags.samples >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
  }
  if (planar != PLANARCONFIG_CONTIG && tags.samples > 1) {
    RefuseKind("separate colour planes are not supported; interleaved samples are");
  }
  CheckKind(tiff, tags);
  return tags;
}

SampleLayout LayoutOf(const MaskTags& tags) {
  const bool floating = tags.format == SAMPLEFORMAT_IEEEFP;
  const bool inverted = tags.photometric == PHOTOMETRIC_MINISWHITE && !floating;
  return {.samples = tags.samples,
          .colours = Colours(tags),
          .has_alpha = tags.samples > Colours(tags),
          .bytes = std::max(1, tags.bits / 8),
          .floating = floating,
          .background = inverted ? ~uint64_t{0} >> (64 - tags.bits) : 0,
          .indexes = tags.photometric == PHOTOMETRIC_PALETTE};
}

std::vector<PaletteEntry> PaletteOf(TIFF* tiff, int bits) {
  std::array<uint16_t*, 3> maps = {};
  if (TIFFGetField(tiff, TIFFTAG_COLORMAP, &maps[0], &maps[1], &maps[2]) != 1)
    RefuseDamaged("its palette cannot be read");
  std::vector<PaletteEntry> palette(size_t{1} << bits, PaletteEntry{0, 0, 0, 255});
  for (size_t i = 0; i < palette.size(); ++i) {
    // Only black matters, and a small value is not black.
    for (size_t c = 0; c < maps.size(); ++c) palette[i][c] = maps[c][i] != 0 ? 255 : 0;
  }
  return palette;
}

// Expands samples of 1, 2 or 4 bits to bytes.
void Unpack(const std::vector<uint8_t>& packed, int bits, std::vector<uint8_t>& row) {
  const int each = 8 / bits;
  const auto mask = static_cast<uint8_t>((1 << bits) - 1);
  for (size_t x = 0; x < row.size(); ++x) {
    const int shift = 8 - bits * (static_cast<int>(x % each) + 1);
    row[x] = static_cast<uint8_t>(packed[x / each] >> shift) & mask;
  }
}

// Reads rows of samples of at least a byte.
class RowReader {
 public:
  RowReader(TIFF* tiff, TiffSource& source, const MaskTags& tags)
      : tiff_(tiff), source_(source), bits_(tags.bits) {
    const auto width = static_cast<size_t>(tags.header.width);
    const uint64_t line = (width * tags.bits * tags.samples + 7) / 8;
    if (TIFFScanlineSize64(tiff) != line) RefuseDamaged("its strips do not match its header");
    line_.resize(line);
    if (bits_ < 8) row_.resize(width);
  }

  const uint8_t* Read(uint32_t y) {
    const int read = TIFFReadScanline(tiff_, line_.data(), y);
    if (read != 1 || !source_.damage.empty()) {
      RefuseDamaged("row " + std::to_string(y) + " is damaged" +
                    (source_.damage.empty() ? "" : ": " + source_.damage));
    }
    if (bits_ >= 8) return line_.data();
    Unpack(line_, bits_, row_);
    return row_.data();
  }

 private:
  TIFF* const tiff_;
  TiffSource& source_;
  const int bits_;             // of a sample
  std::vector<uint8_t> line_;  // as libtiff returns it
  std::vector<uint8_t> row_;   // a byte for each sample of fewer than 8 bits
};

}  // namespace

ImageHeader ReadTiffMaskHeader(std::span<const uint8_t> bytes) {
  TiffSource source{.bytes = bytes};
  return HeaderOf(OpenMask(source).get());
}

MaskSamples::Marks ReadTiffMask(std::span<const uint8_t> bytes) {
  TiffSource source{.bytes = bytes};
  const TiffHandle tiff = OpenMask(source);
  const MaskTags tags = ReadTags(tiff.get());
  MaskSamples samples(static_cast<int>(tags.header.width), static_cast<int>(tags.header.height),
                      LayoutOf(tags));
  RowReader rows(tiff.get(), source, tags);
  source.in_pixels = true;
  for (int64_t y = 0; y < tags.header.height; ++y)
    samples.AddRow(rows.Read(static_cast<uint32_t>(y)));
  if (tags.photometric == PHOTOMETRIC_PALETTE)
    samples.ApplyPalette(PaletteOf(tiff.get(), tags.bits));
  return std::move(samples).Decide();
}

}  // namespace proad::model
