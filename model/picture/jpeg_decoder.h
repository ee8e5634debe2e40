// Decodes the pixels of JPEG files with libjpeg.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>

#include "model/picture/decode.h"
#include "model/picture/image_header.h"

namespace proad::model {

// Decodes a file that passed ReadImageHeader and CheckComplete. Throws InvalidInput (field
// "encoded", IMAGE_DECODE_FAILED) if libjpeg reports an error or damaged image data. Counts its
// other warnings in `diagnostics`. Writes nothing to standard error.
Image DecodeJpeg(std::span<const uint8_t> bytes, const ImageHeader& header,
                 DecodeDiagnostics& diagnostics);

}  // namespace proad::model
