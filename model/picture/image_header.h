// Reads the header of an image file without a codec, so that limits are checked before a codec
// allocates memory, and checks that the file is complete, because codecs do not always report a
// truncated file.
//
// No LibTorch. Pure functions: safe to call from any thread. They allocate no memory in proportion
// to the sizes that a file states.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "model/picture/image.h"

namespace proad::model {

enum class ImageFormat { kJpeg, kPng, kBmp, kTiff, kWebP };

// "JPEG", "PNG", "BMP", "TIFF", "WebP".
const char* NameOf(ImageFormat format);

struct ImageHeader {
  ImageFormat format = ImageFormat::kJpeg;
  int64_t width = 0;         // columns, as stated; > 0
  int64_t height = 0;        // rows, as stated; > 0
  int bits_per_sample = 8;   // of the stored samples: 1, 2, 4 (palettes and grey PNG), 8 or 16
  int components = 3;        // of a JPEG file: 1 (grey), 3 (colour) or 4 (CMYK, YCCK)
  bool progressive = false;  // of a JPEG file: the codec holds coefficients of the whole image
};

// Reads the header of a JPEG, PNG, BMP, TIFF (first page) or WebP file. Throws InvalidInput (field
// "encoded"): IMAGE_FORMAT_UNSUPPORTED for other formats and for variants that are not decoded
// exactly (the message lists the supported ones); IMAGE_EMPTY for an image without rows or columns;
// IMAGE_DECODE_FAILED for a truncated or inconsistent header.
ImageHeader ReadImageHeader(std::span<const uint8_t> bytes);

// Throws InvalidInput (field "encoded", IMAGE_DECODE_FAILED) if the file ends before the image
// data. After this call a codec either decodes the whole image or fails.
void CheckComplete(std::span<const uint8_t> bytes, const ImageHeader& header);

// Throws InvalidInput (field "encoded", IMAGE_DECODE_FAILED) for a file whose pixels are damaged.
[[noreturn]] void ThrowUndecodable(const ImageHeader& header, const std::string& why);

// A black image of the stated size, which must be within the limits of an image.
Image BlankImage(const ImageHeader& header);

}  // namespace proad::model
