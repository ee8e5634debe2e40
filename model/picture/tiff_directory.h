// Reads the first image file directory of a TIFF file (TIFF 6.0, section 2).
//
// libtiff's RGBA interface, which OpenCV uses, leaves rows that it cannot read black without an
// error, applies the orientation tag, and multiplies colours by an alpha channel. The checks here
// prevent all three. No LibTorch. Pure functions: safe to call from any thread.
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
  bool big_endian = false;
  // Positions of two SHORT values that the decoder must not see; 0 if absent or harmless.
  uint64_t orientation_at = 0;
  uint64_t alpha_kind_at = 0;
};

// Supported: classic TIFF; grey, RGB, RGBA or palette; 8 or 16 bit unsigned samples, one plane, in
// strips; uncompressed or packed with LZW, Deflate or PackBits. Throws as ReadImageHeader does.
TiffDirectory ReadTiffDirectory(std::span<const uint8_t> bytes);

// Checks that every strip lies inside the file and can hold its rows. Throws as CheckComplete does.
void CheckTiffComplete(std::span<const uint8_t> bytes);

// Whether a decoder would apply an orientation or multiply by an alpha channel.
bool NeedsNeutralTags(const TiffDirectory& directory);

// Sets these two tags of `bytes`, from which `directory` was read, to top-left orientation and to
// an extra sample of unspecified kind.
void NeutraliseTags(const TiffDirectory& directory, std::span<uint8_t> bytes);

}  // namespace proad::model
