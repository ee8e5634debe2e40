// Reads masks from TIFF files with libtiff.
//
// Label tools store masks in kinds of TIFF that are no images for inspection: 1, 2, 4, 32 and 64
// bits, signed and floating-point samples, fax compression.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>

#include "model/picture/image_header.h"
#include "model/picture/mask_samples.h"

namespace proad::model {

// Width and height, as stated by the first directory. Throws InvalidInput (field "encoded",
// IMAGE_DECODE_FAILED) if the directory is damaged or has no size.
ImageHeader ReadTiffMaskHeader(std::span<const uint8_t> bytes);

// Reads the first page of a file whose size is within the limits of an image. The photometric
// interpretation says which value is black. The orientation tag is ignored. Throws InvalidInput
// (field "encoded"): IMAGE_FORMAT_UNSUPPORTED for tiles, separate planes, lossy
// compression and unusual colours;
// IMAGE_DECODE_FAILED if libtiff reports damage or the file is truncated.
MaskSamples::Marks ReadTiffMask(std::span<const uint8_t> bytes);

}  // namespace proad::model
