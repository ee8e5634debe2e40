// Decodes the pixels of PNG files with libpng.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>

#include "model/picture/decode.h"
#include "model/picture/image_header.h"
#include "model/picture/mask_samples.h"

namespace proad::model {

// Decodes a file that passed ReadImageHeader and CheckComplete. Throws InvalidInput (field
// "encoded", IMAGE_DECODE_FAILED) if libpng reports an error, or a warning while it reads image
// data, except for padding behind the data. Counts its other warnings in `diagnostics`. Writes
// nothing to standard error.
Image DecodePng(std::span<const uint8_t> bytes, const ImageHeader& header,
                DecodeDiagnostics& diagnostics);

// Reads a mask from the stored samples of such a file. Throws as DecodePng.
MaskSamples::Marks ReadPngMask(std::span<const uint8_t> bytes, const ImageHeader& header);

}  // namespace proad::model
