// A picture as the model sees it before preprocessing, and how it is made from a file's bytes.
//
// No LibTorch. Everything here is a pure function: safe to call from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace proad::model {

// RGB, 8 bits a channel. Owns its pixels.
struct Image {
  int width = 0;                // columns
  int height = 0;               // rows
  std::vector<uint8_t> pixels;  // [height, width, 3], row-major, tightly packed
};

// What a picture may be at most. Checked from the file's header, before anything of the claimed
// size is allocated.
struct ImageLimits {
  int64_t max_bytes = 32 << 20;     // of the encoded file or of the frame's data
  int64_t max_pixels = 64'000'000;  // width * height
  int max_side = 20'000;            // width and height each
};

// A 16 bit sample, white at 65535, as an 8 bit one, white at 255, rounded to the nearest.
constexpr uint8_t ScaleTo8Bit(uint16_t sample) {
  return static_cast<uint8_t>((uint32_t{sample} * 255 + 32895) >> 16);
}

// Decodes a JPEG, PNG, BMP, TIFF (first page) or WebP file. Grey is repeated, transparency dropped,
// 16 bit samples scaled by 65535 to 8 bit; an orientation tag is ignored, so coordinates are those
// of the stored pixels. Throws InvalidInput (field "encoded") with reason IMAGE_EMPTY,
// IMAGE_BYTES_TOO_LARGE, IMAGE_TOO_LARGE, IMAGE_FORMAT_UNSUPPORTED or IMAGE_DECODE_FAILED; a
// truncated file is IMAGE_DECODE_FAILED, never a grey rest.
Image DecodeImage(std::span<const uint8_t> bytes, const ImageLimits& limits = {});

// Bytes of memory that DecodeImage takes at most for this file, its result included: so many a
// pixel, by format, as measured with the codecs. Reads the header only. 0 for a file that
// DecodeImage refuses because of its header.
int64_t DecodeBytes(std::span<const uint8_t> bytes);

// The largest DecodeBytes of an image of so many pixels.
int64_t MaxDecodeBytes(int64_t pixels);

}  // namespace proad::model
