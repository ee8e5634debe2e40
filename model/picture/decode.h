// Decodes image files: JPEG, PNG, BMP, TIFF and WebP.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>

#include "model/picture/image.h"

namespace proad::model {

// Decodes the bytes of a JPEG, PNG, BMP, TIFF (first page) or WebP file.
//
// Grey is repeated to three channels, transparency is dropped, and 16 bit samples are scaled to 8
// bits (65535 becomes 255). An orientation tag is ignored: coordinates are those of the stored
// pixels.
//
// Throws InvalidInput (field "encoded") with reason IMAGE_EMPTY, IMAGE_BYTES_TOO_LARGE,
// IMAGE_TOO_LARGE, IMAGE_FORMAT_UNSUPPORTED or IMAGE_DECODE_FAILED. A truncated file is
// IMAGE_DECODE_FAILED; its missing part is never filled with grey.
Image DecodeImage(std::span<const uint8_t> bytes, const ImageLimits& limits = {});

}  // namespace proad::model
