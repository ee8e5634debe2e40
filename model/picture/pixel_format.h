// The table of the pixel formats of camera frames, and the conversion of their rows to RGB.
//
// A new pixel format is one enum value and one row of the table in pixel_format.cc; the API accepts
// it when PixelFormat in proto/proad/v1/detection.proto has a value of the row's api_name.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>

namespace proad::model {

// Named as in GenICam's Pixel Format Naming Convention (PFNC). Samples of several bytes are
// little-endian. White of N bits is 2^N - 1; every sample is scaled to 8 bits by that number,
// rounded to the nearest.
enum class PixelFormat {
  kMono8,
  kMono10,   // 10 bits in the low bits of 16
  kMono12,   // 12 bits in the low bits of 16
  kMono10p,  // four pixels in five bytes, the first in the lowest bits
  kMono12p,  // two pixels in three bytes, the first in the lowest bits
  kMono16,
  kRgb8,
  kBgr8,
  // The two letters are the colours of the first two pixels of row 0; 10 and 12 as in kMono10.
  kBayerRg8,
  kBayerGb8,
  kBayerGr8,
  kBayerBg8,
  kBayerRg10,
  kBayerGb10,
  kBayerGr10,
  kBayerBg10,
  kBayerRg12,
  kBayerGb12,
  kBayerGr12,
  kBayerBg12,
  kBayerRg16,
  kBayerGb16,
  kBayerGr16,
  kBayerBg16,
  // Two pixels in four bytes. BT.601, all 256 values used: grey 0 and 255 are Y 0 and 255.
  kYuv422,      // Y0 U Y1 V
  kYuv422Uyvy,  // U Y0 V Y1
};

enum class PixelFamily { kMono, kRgb, kBayer, kYuv422 };

// Rows in memory. Does not own them.
struct PixelRows {
  const uint8_t* data = nullptr;
  int64_t stride = 0;  // bytes from one row to the next
  int width = 0;
  int height = 0;
};

// One row of the table.
struct PixelFormatTraits {
  PixelFormat format;
  const char* name;      // PFNC's: "Mono8"
  const char* api_name;  // of the API's enum value, without its prefix: "MONO8"
  PixelFamily family;
  int bits_per_sample;  // that are used
  int bits_per_pixel;   // in memory
  // Writes [height, width, 3] RGB. Samples above 2^bits_per_sample - 1 become white.
  void (*unpack)(const PixelRows& in, uint8_t* out);
};

// All rows.
std::span<const PixelFormatTraits> PixelFormats();
const PixelFormatTraits& TraitsOf(PixelFormat format);

// Bytes of a row of `width` pixels without padding. The last byte of a packed format may have
// unused bits: each row begins with a whole byte.
int64_t RowBytes(PixelFormat format, int64_t width);

// Bytes per pixel that unpacking takes, the result (3) included.
int UnpackBytesPerPixel(PixelFormat format);

}  // namespace proad::model
