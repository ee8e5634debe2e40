// A TIFF file with an orientation tag, made by hand.
#pragma once

#include <cstdint>
#include <string>

namespace proad::testing {

// An uncompressed TIFF file of one colour with an orientation tag; samples of 8 or 16 bits.
inline std::string TaggedTiff(uint32_t marker, int width, int height, int orientation,
                              int bits = 8) {
  std::string file("II*\0", 4);
  const auto append = [&file](uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) file.push_back(static_cast<char>(value >> (8 * i)));
  };
  const uint32_t size = width * height * 3 * bits / 8;
  constexpr int kTags = 10;
  constexpr uint32_t kBitsAt = 8 + 2 + 12 * kTags + 4;  // of the values of BitsPerSample
  append(8, 4);
  append(kTags, 2);
  const auto tag = [&](uint32_t name, uint32_t type, uint32_t count, uint32_t value) {
    append(name, 2);
    append(type, 2);
    append(count, 4);
    append(value, 4);
  };
  tag(256, 4, 1, width);
  tag(257, 4, 1, height);
  tag(258, 3, 3, kBitsAt);
  tag(259, 3, 1, 1);            // no compression
  tag(262, 3, 1, 2);            // RGB
  tag(273, 4, 1, kBitsAt + 6);  // the strip
  tag(274, 3, 1, orientation);
  tag(277, 3, 1, 3);
  tag(278, 4, 1, height);
  tag(279, 4, 1, size);
  append(0, 4);
  for (int i = 0; i < 3; ++i) append(bits, 2);
  for (int i = 0; i < width * height; ++i) {
    for (const int shift : {16, 8, 0}) {
      const uint32_t sample = marker >> shift & 0xff;
      append(bits == 16 ? sample * 257 : sample, bits / 8);
    }
  }
  return file;
}

}  // namespace proad::testing
