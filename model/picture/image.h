// An image in memory: its pixels, and a rectangle of it.
//
// No LibTorch. Values and pure functions: safe to use from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace proad::model {

// RGB, 8 bits a channel. Owns its pixels.
struct Image {
  int width = 0;                // columns
  int height = 0;               // rows
  std::vector<uint8_t> pixels;  // [height, width, 3], row-major, tightly packed
};

// A rectangle of pixels.
struct Box {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;

  bool operator==(const Box&) const = default;
};

// Scales a 16 bit sample (white is 65535) to 8 bits (white is 255), rounded to the nearest.
constexpr uint8_t ScaleTo8Bit(uint16_t sample) {
  return static_cast<uint8_t>((uint32_t{sample} * 255 + 32895) >> 16);
}

}  // namespace proad::model
