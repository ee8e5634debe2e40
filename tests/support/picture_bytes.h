// Picture files byte by byte, and what DecodeImage makes of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "model/files/error.h"
#include "model/picture/decode.h"
#include "model/picture/image.h"
#include "model/picture/image_limits.h"

namespace proad::test {

using Bytes = std::vector<uint8_t>;

// The error that decoding ends with; reason "" when there is none.
inline model::InvalidInput DecodeError(const Bytes& bytes, const model::ImageLimits& limits = {}) {
  try {
    model::DecodeImage(bytes, limits);
  } catch (const model::InvalidInput& error) {
    return error;
  }
  return {"", "", "decoded"};
}

// Of any sample; 256 when the pictures have different sizes.
inline int LargestDifference(const model::Image& a, const model::Image& b) {
  if (a.width != b.width || a.height != b.height || a.pixels.size() != b.pixels.size()) return 256;
  int largest = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    largest = std::max(largest, std::abs(a.pixels[i] - b.pixels[i]));
  }
  return largest;
}

// Append the lowest `bytes` of a number, the least or the most significant first, and a text.
inline void PutLittle(Bytes& out, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<uint8_t>(value >> 8 * i));
}
inline void PutBig(Bytes& out, uint32_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<uint8_t>(value >> 8 * i));
}
inline void PutText(Bytes& out, const std::string& text) {
  out.insert(out.end(), text.begin(), text.end());
}

}  // namespace proad::test
