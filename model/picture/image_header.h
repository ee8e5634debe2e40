// What the first bytes of an encoded picture say, read without a codec, so that limits are checked
// before a codec allocates anything; and whether the file is all there, which codecs do not always
// tell.
//
// No LibTorch. Pure functions, safe to call from any thread; nothing is allocated in proportion to
// what a file claims.
#pragma once

#include <cstdint>
#include <span>

namespace proad::model {

enum class ImageFormat { kJpeg, kPng, kBmp, kTiff, kWebP };

// "JPEG", "PNG", "BMP", "TIFF", "WebP".
const char* NameOf(ImageFormat format);

struct ImageHeader {
  ImageFormat format = ImageFormat::kJpeg;
  int64_t width = 0;         // columns, as claimed; > 0
  int64_t height = 0;        // rows, as claimed; > 0
  int bits_per_sample = 8;   // of the stored samples: 1, 2, 4 (palettes and grey PNG), 8 or 16
  bool progressive = false;  // of a JPEG file: the codec holds coefficients of the whole image
};

// Reads the header of a JPEG, PNG, BMP, TIFF (first page) or WebP file.
// Throws InvalidInput (field "encoded"): IMAGE_FORMAT_UNSUPPORTED for anything else and for kinds
// of these formats that are not decoded faithfully (the message says which are); IMAGE_EMPTY for a
// picture without rows or columns; IMAGE_DECODE_FAILED when the header is cut off or contradicts
// itself.
ImageHeader ReadImageHeader(std::span<const uint8_t> bytes);

// Throws InvalidInput (field "encoded", IMAGE_DECODE_FAILED) when the file ends before the picture
// does. What a codec decodes after this call either is the whole picture or fails.
void CheckComplete(std::span<const uint8_t> bytes, const ImageHeader& header);

}  // namespace proad::model
