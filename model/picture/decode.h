// Decodes image files: JPEG, PNG, BMP, TIFF and WebP.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>

#include "model/picture/image.h"
#include "model/picture/image_limits.h"
#include "model/picture/image_reading.h"

namespace proad::model {

// In pixels.
struct ImageSize {
  int64_t width = 0;
  int64_t height = 0;

  bool operator==(const ImageSize&) const = default;
};

struct DecodeDiagnostics {
  // Warnings of the codec that do not concern pixels, for example about a colour profile.
  int dropped_warnings = 0;
};

// Decodes the bytes of a JPEG, PNG, BMP, TIFF (first page) or WebP file.
//
// Grey is repeated to three channels, and transparency is dropped. 16 bit samples are scaled to 8
// bits: the largest number of their significant bits becomes 255. CMYK and YCCK samples of a JPEG
// file become RGB as in Pillow: samples are inverted, as Adobe's programs write them with and
// without a marker, and each colour is multiplied with black. `reading` decides about the
// orientation tag and about significant bits.
//
// Throws InvalidInput (field "encoded") with reason IMAGE_EMPTY, IMAGE_BYTES_TOO_LARGE,
// IMAGE_TOO_LARGE, IMAGE_FORMAT_UNSUPPORTED, IMAGE_BITS_EXCEEDED (a sample is larger than its stated
// bits) or IMAGE_DECODE_FAILED. A truncated file is IMAGE_DECODE_FAILED; its missing part is never
// filled with grey. So is a file whose codec reports damaged image data, as an error or as a
// warning. Other warnings are counted in `diagnostics`, if given. Nothing is written to standard
// error.
Image DecodeImage(std::span<const uint8_t> bytes, const ImageLimits& limits = {},
                  const ImageReading& reading = {}, DecodeDiagnostics* diagnostics = nullptr);

// The size of the image that DecodeImage returns for a file, from its header. Throws as
// ReadImageHeader.
ImageSize ReadImageSize(std::span<const uint8_t> bytes, const ImageReading& reading);

// Bytes of memory that DecodeImage takes at most for this file, its result included. Reads only the
// header. 0 for a file that DecodeImage refuses because of its header.
int64_t DecodeBytes(std::span<const uint8_t> bytes, const ImageReading& reading = {});

// The largest DecodeBytes of an image of `pixels` pixels.
int64_t MaxDecodeBytes(int64_t pixels);

}  // namespace proad::model
