// Reads the first image file directory of a TIFF file (TIFF 6.0, section 2).
//
// The checks refuse kinds of TIFF that tiff_decoder.h does not decode exactly. No LibTorch. Pure
// functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>

#include "model/picture/image_header.h"

namespace proad::model {

struct TiffDirectory {
  ImageHeader header;
  uint32_t compression = 1;
  uint32_t samples_per_pixel = 1;
  uint32_t rows_per_strip = 0;  // 1..height
  uint32_t photometric = 1;     // interpretation of the samples, tag 262
  // Of samples of 16 bits: n < 16 if MaxSampleValue (281) or SMaxSampleValue (341) is 2^n - 1. Other
  // values are a statistic of the image and are not used.
  int significant_bits = 16;
};

// Supported: classic TIFF; grey, RGB, RGBA or palette; 8 or 16 bit unsigned samples, one plane, in
// strips; uncompressed or packed with LZW, Deflate or PackBits. Throws as ReadImageHeader does.
TiffDirectory ReadTiffDirectory(std::span<const uint8_t> bytes);

// Checks that every strip lies inside the file and can hold its rows. Throws as CheckComplete does.
void CheckTiffComplete(std::span<const uint8_t> bytes);

}  // namespace proad::model
