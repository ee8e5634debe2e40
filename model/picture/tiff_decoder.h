// Decodes the pixels of TIFF files with libtiff.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>

#include "model/picture/decode.h"
#include "model/picture/tiff_directory.h"

namespace proad::model {

// Decodes the strips of a file that passed ReadTiffDirectory and CheckTiffComplete. The orientation
// tag and alpha channels are ignored. Throws InvalidInput (field "encoded", IMAGE_DECODE_FAILED) if
// libtiff reports an error, or a warning about compressed data. Counts its other warnings in
// `diagnostics`. Writes nothing to standard error.
Image DecodeTiff(std::span<const uint8_t> bytes, const TiffDirectory& directory, int bits,
                 DecodeDiagnostics& diagnostics);

}  // namespace proad::model
