#include "model/picture/sample_scale.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "model/files/error.h"

namespace proad::model {
namespace {

// Whether a sample is a number of `bits` bits that was scaled to 16: moved to the high bits, with
// zeros or its own high bits below, or multiplied.
bool IsScaled(uint16_t sample, int bits) {
  const int shift = 16 - bits;
  const int number = sample >> shift;
  const int white = (1 << bits) - 1;
  if (sample == number << shift) return true;
  for (const int near : {number - 1, number, number + 1}) {
    const int scaled = static_cast<int>((int64_t{near} * 65535 + white / 2) / white);
    if (std::abs(scaled - sample) <= 1) return true;
  }
  return false;
}

}  // namespace

int SignificantBits(std::span<const uint16_t> samples, int stated) {
  if (stated < 1 || stated > 15) return 16;
  const int white = (1 << stated) - 1;
  if (std::any_of(samples.begin(), samples.end(), [&](uint16_t s) { return s > white; })) return 16;
  const bool scaled = std::all_of(samples.begin(), samples.end(),
                                  [&](uint16_t sample) { return IsScaled(sample, stated); });
  return scaled ? 16 : stated;
}

void ThrowBitsExceeded(uint16_t sample, int bits) {
  throw InvalidImage("encoded", "IMAGE_BITS_EXCEEDED",
                     "a sample of the image is " + std::to_string(sample) + ", but " +
                         std::to_string((1 << bits) - 1) + " is the largest of the " +
                         std::to_string(bits) +
                         " bits that image.bits or a tag of the file states; state all bits that "
                         "the samples have");
}

}  // namespace proad::model
