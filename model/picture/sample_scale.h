// The scale from 16 bit samples to 8 bits, with the significant bits of the samples.
//
// Some cameras deliver 10, 12 or 14 bits in the low bits of 16. Scaled by 65535 such an image is
// nearly black; scaled by the largest number of its bits it is as bright as the camera saw it.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>

#include "model/picture/image.h"

namespace proad::model {

// The significant bits of the samples of an image whose PNG file states `stated` of 16 in its chunk
// sBIT. By the PNG specification such samples are scaled to 16 bits; some writers leave them in the
// low bits. 16 for scaled samples, `stated` for the others. Every sample of the image decides.
int SignificantBits(std::span<const uint16_t> samples, int stated);

// Throws InvalidImage (field "encoded", IMAGE_BITS_EXCEEDED).
[[noreturn]] void ThrowBitsExceeded(uint16_t sample, int bits);

// Scales a sample of `bits` bits, 1 to 16, to 8 bits, rounded to the nearest: the largest number of
// so many bits becomes 255. Throws as ThrowBitsExceeded does for a larger sample.
inline uint8_t ScaleTo8Bit(uint16_t sample, int bits) {
  if (bits == 16) return ScaleTo8Bit(sample);
  const uint32_t white = (uint32_t{1} << bits) - 1;
  if (sample > white) ThrowBitsExceeded(sample, bits);
  return static_cast<uint8_t>((uint32_t{sample} * 255 + white / 2) / white);
}

}  // namespace proad::model
