// Picture files made by hand, so that tests need no codec.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/support/fake_model.h"

namespace proad::server {

// A 24 bit BMP file of one colour, the marker of FakeModel.
inline std::string MarkedBmp(uint32_t marker, int width = kFakeSide, int height = kFakeSide) {
  const int row = (width * 3 + 3) / 4 * 4;
  std::string file = "BM";
  const auto append = [&file](uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) file.push_back(static_cast<char>(value >> (8 * i)));
  };
  append(54 + row * height, 4);
  append(0, 4);
  append(54, 4);  // where the pixels start
  append(40, 4);  // bytes of the header that follows
  append(width, 4);
  append(height, 4);
  append(1, 2);
  append(24, 2);
  append(0, 4);
  append(row * height, 4);
  for (int i = 0; i < 4; ++i) append(0, 4);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) append(marker, 3);  // blue, green, red
    append(0, row - width * 3);
  }
  return file;
}

// A PNG file of `bytes` that claims a size which it does not hold.
inline std::string BombPng(uint32_t width, uint32_t height, size_t bytes) {
  std::string file = "\x89PNG\r\n\x1a\n";
  const auto append = [](std::string& to, uint32_t value) {
    for (int shift : {24, 16, 8, 0}) to.push_back(static_cast<char>(value >> shift));
  };
  const auto chunk = [&](const std::string& type_and_data) {
    uint32_t crc = 0xffffffff;
    for (const char c : type_and_data) {
      crc ^= static_cast<uint8_t>(c);
      for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    append(file, static_cast<uint32_t>(type_and_data.size() - 4));
    file += type_and_data;
    append(file, ~crc);
  };
  std::string header = "IHDR";
  append(header, width);
  append(header, height);
  header += std::string("\x08\x02\x00\x00\x00", 5);  // 8 bit RGB
  chunk(header);
  chunk("IDAT" + std::string(bytes > 69 ? bytes - 69 : 0, '\0'));
  chunk("IEND");
  return file;
}

}  // namespace proad::server
