// Reads the headers of a BMP file (BITMAPCOREHEADER, BITMAPINFOHEADER, V4 and V5) and finds its
// pixels.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/picture/image_header.h"

namespace proad::model {

struct BmpLayout {
  ImageHeader header;
  int bits_per_pixel = 0;
  uint64_t pixels_at = 0;         // first byte of the pixels
  uint64_t stored_pixels_at = 0;  // as the file states it (bfOffBits)
};

// Supported are uncompressed pixels of 1, 4, 8, 24 and 32 bits. Palette and colour masks count as
// header. Some writers state the end of the info header as the position of the pixels although a
// palette or masks follow it: then the pixels are taken from behind those. Any other position
// inside the header is an error. Throws as ReadImageHeader does.
BmpLayout ReadBmpLayout(std::span<const uint8_t> bytes);

// Throws as CheckComplete does.
void CheckBmpComplete(std::span<const uint8_t> bytes);

// A copy of the file that states the right position of its pixels.
std::vector<uint8_t> WithRightPixelOffset(std::span<const uint8_t> bytes, const BmpLayout& layout);

}  // namespace proad::model
