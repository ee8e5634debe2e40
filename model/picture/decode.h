// Decodes image files: JPEG, PNG, BMP, TIFF and WebP.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>

#include "model/picture/image.h"
#include "model/picture/image_limits.h"

namespace proad::model {

struct DecodeDiagnostics {
  // Warnings of the codec that do not concern pixels, for example about a colour profile.
  int dropped_warnings = 0;
};

// Decodes the bytes of a JPEG, PNG, BMP, TIFF (first page) or WebP file.
//
// Grey is repeated to three channels, transparency is dropped, and 16 bit samples are scaled to 8
// bits (65535 becomes 255). An orientation tag is ignored: coordinates are those of the stored
// pixels.
//
// Throws InvalidInput (field "encoded") with reason IMAGE_EMPTY, IMAGE_BYTES_TOO_LARGE,
// IMAGE_TOO_LARGE, IMAGE_FORMAT_UNSUPPORTED or IMAGE_DECODE_FAILED. A truncated file is
// IMAGE_DECODE_FAILED; its missing part is never filled with grey. So is a file whose codec reports
// damaged image data, as an error or as a warning. Other warnings are counted in `diagnostics`, if
// given. Nothing is written to standard error.
Image DecodeImage(std::span<const uint8_t> bytes, const ImageLimits& limits = {},
                  DecodeDiagnostics* diagnostics = nullptr);

// Bytes of memory that DecodeImage takes at most for this file, its result included. Reads only the
// header. 0 for a file that DecodeImage refuses because of its header.
int64_t DecodeBytes(std::span<const uint8_t> bytes);

// The largest DecodeBytes of an image of `pixels` pixels.
int64_t MaxDecodeBytes(int64_t pixels);

}  // namespace proad::model
