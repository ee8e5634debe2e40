#include "model/picture/png_decoder.h"

#include <png.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>
#include <utility>
#include <vector>

namespace proad::model {
namespace {

// The state of one decoding; libpng's callbacks get a pointer to it.
struct PngSource {
  std::span<const uint8_t> bytes;
  size_t at = 0;
  bool in_pixels = false;
  int dropped_warnings = 0;
  char message[256] = "";
};

// libpng is C, so no exception may pass through it.
[[noreturn]] void Fail(png_structp png, png_const_charp message) {
  auto& source = *static_cast<PngSource*>(png_get_error_ptr(png));
  std::snprintf(source.message, sizeof source.message, "%s", message);
  png_longjmp(png, 1);
}

void HandleWarning(png_structp png, png_const_charp message) {
  auto& source = *static_cast<PngSource*>(png_get_error_ptr(png));
  // Some writers pad the data. All pixels and their checksum are read before this warning.
  const bool padded = std::strstr(message, "Extra compressed data") != nullptr;
  // After the last row, warnings about image data name its chunk.
  const bool about_pixels = source.in_pixels || std::strstr(message, "IDAT") != nullptr;
  if (about_pixels && !padded) Fail(png, message);
  ++source.dropped_warnings;
}

void ReadBytes(png_structp png, png_bytep out, size_t count) {
  auto& source = *static_cast<PngSource*>(png_get_io_ptr(png));
  if (count > source.bytes.size() - source.at) png_error(png, "the file is truncated");
  std::copy_n(source.bytes.data() + source.at, count, out);
  source.at += count;
}

class PngDecoder {
 public:
  PngDecoder(std::span<const uint8_t> bytes, const ImageHeader& header)
      : source_{.bytes = bytes}, header_(header) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source_, Fail, HandleWarning);
    info_ = png_ == nullptr ? nullptr : png_create_info_struct(png_);
    if (info_ == nullptr) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      throw std::bad_alloc();
    }
    png_set_read_fn(png_, &source_, ReadBytes);
  }
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  // Reads the header and selects RGB with 8 or 16 bits as output. False after an error; message()
  // describes it. In this and the next functions only trivially destructible variables live,
  // because Fail jumps back into them.
  bool Begin() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_read_info(png_, info_);
    const int colour = png_get_color_type(png_, info_);
    if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png_);
    if (colour == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png_);
    if ((colour & PNG_COLOR_MASK_COLOR) == 0) png_set_gray_to_rgb(png_);
    png_set_strip_alpha(png_);
    if constexpr (std::endian::native == std::endian::little) png_set_swap(png_);
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    wide_ = png_get_bit_depth(png_, info_) == 16;
    const auto row_bytes = static_cast<uint64_t>(header_.width) * (wide_ ? 6 : 3);
    if (png_get_image_width(png_, info_) != header_.width ||
        png_get_image_height(png_, info_) != header_.height ||
        png_get_rowbytes(png_, info_) != row_bytes) {
      png_error(png_, "its data does not match its header");
    }
    return true;
  }

  // Reads the header and selects the stored samples as output: a byte for each of at most 8 bits, and
  // indexes for a palette. False after an error.
  bool BeginStored() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_read_info(png_, info_);
    png_set_packing(png_);
    if constexpr (std::endian::native == std::endian::little) png_set_swap(png_);
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    wide_ = png_get_bit_depth(png_, info_) == 16;
    const auto row_bytes =
        static_cast<uint64_t>(header_.width) * png_get_channels(png_, info_) * (wide_ ? 2 : 1);
    if (png_get_image_width(png_, info_) != header_.width ||
        png_get_image_height(png_, info_) != header_.height ||
        png_get_rowbytes(png_, info_) != row_bytes) {
      png_error(png_, "its data does not match its header");
    }
    return true;
  }

  SampleLayout layout() const {
    const int colour = png_get_color_type(png_, info_);
    const bool indexes = colour == PNG_COLOR_TYPE_PALETTE;
    return {.samples = png_get_channels(png_, info_),
            .colours = !indexes && (colour & PNG_COLOR_MASK_COLOR) != 0 ? 3 : 1,
            .has_alpha = (colour & PNG_COLOR_MASK_ALPHA) != 0,
            .bytes = wide_ ? 2 : 1,
            .indexes = indexes};
  }

  std::vector<PaletteEntry> palette() const {
    png_colorp colours = nullptr;
    png_bytep opacity = nullptr;
    int count = 0;
    int transparent = 0;
    png_get_PLTE(png_, info_, &colours, &count);
    png_get_tRNS(png_, info_, &opacity, &transparent, nullptr);
    std::vector<PaletteEntry> entries;
    for (int i = 0; i < count; ++i) {
      entries.push_back({colours[i].red, colours[i].green, colours[i].blue,
                         i < transparent && opacity != nullptr ? opacity[i] : uint8_t{255}});
    }
    return entries;
  }

  // Whether the samples have 16 bits, and how many times each row is read.
  bool wide() const { return wide_; }
  int passes() const { return passes_; }

  // Reads the next row. Rows of an interlaced image are read once in each pass; `row` then holds
  // the result of the passes before.
  bool ReadRow(uint8_t* row) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    source_.in_pixels = true;
    png_read_row(png_, row, nullptr);
    return true;
  }

  // Reads the chunks after the image data.
  bool End() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    source_.in_pixels = false;
    png_read_end(png_, nullptr);
    return true;
  }

  const char* message() const { return source_.message; }
  int dropped_warnings() const { return source_.dropped_warnings; }

 private:
  PngSource source_;
  const ImageHeader& header_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  bool wide_ = false;
  int passes_ = 1;
};

bool ReadNarrow(PngDecoder& png, Image& image) {
  const size_t row_bytes = size_t{3} * image.width;
  for (int pass = 0; pass < png.passes(); ++pass) {
    for (int y = 0; y < image.height; ++y) {
      if (!png.ReadRow(image.pixels.data() + row_bytes * y)) return false;
    }
  }
  return true;
}

// An interlaced image needs memory for all of its wide rows, others for one.
bool ReadWide(PngDecoder& png, Image& image) {
  const size_t row_samples = size_t{3} * image.width;
  const bool interlaced = png.passes() > 1;
  std::vector<uint16_t> samples(row_samples * (interlaced ? image.height : 1));
  for (int pass = 0; pass < png.passes(); ++pass) {
    for (int y = 0; y < image.height; ++y) {
      uint16_t* const row = samples.data() + (interlaced ? row_samples * y : 0);
      if (!png.ReadRow(reinterpret_cast<uint8_t*>(row))) return false;
      if (pass + 1 < png.passes()) continue;
      std::transform(row, row + row_samples, image.pixels.data() + row_samples * y, ScaleTo8Bit);
    }
  }
  return true;
}

// An interlaced image needs memory for all of its rows, others for one.
bool ReadStored(PngDecoder& png, const ImageHeader& header, MaskSamples& mask) {
  const SampleLayout layout = png.layout();
  const size_t row_bytes = static_cast<size_t>(header.width) * layout.samples * layout.bytes;
  const bool interlaced = png.passes() > 1;
  std::vector<uint8_t> samples(row_bytes * (interlaced ? header.height : 1));
  for (int pass = 0; pass < png.passes(); ++pass) {
    for (int64_t y = 0; y < header.height; ++y) {
      uint8_t* const row = samples.data() + (interlaced ? row_bytes * y : 0);
      if (!png.ReadRow(row)) return false;
      if (pass + 1 == png.passes()) mask.AddRow(row);
    }
  }
  return true;
}

}  // namespace

Image DecodePng(std::span<const uint8_t> bytes, const ImageHeader& header,
                DecodeDiagnostics& diagnostics) {
  Image image = BlankImage(header);
  PngDecoder png(bytes, header);
  const bool decoded =
      png.Begin() && (png.wide() ? ReadWide(png, image) : ReadNarrow(png, image)) && png.End();
  diagnostics.dropped_warnings += png.dropped_warnings();
  if (!decoded) ThrowUndecodable(header, png.message());
  return image;
}

MaskSamples::Marks ReadPngMask(std::span<const uint8_t> bytes, const ImageHeader& header) {
  PngDecoder png(bytes, header);
  if (!png.BeginStored()) ThrowUndecodable(header, png.message());
  MaskSamples mask(static_cast<int>(header.width), static_cast<int>(header.height), png.layout());
  if (!ReadStored(png, header, mask) || !png.End()) ThrowUndecodable(header, png.message());
  if (png.layout().indexes) mask.ApplyPalette(png.palette());
  return std::move(mask).Decide();
}

}  // namespace proad::model
