// Uncompressed images as cameras deliver them, and the table of their pixel formats.
//
// A new pixel format is one enum value and one row of the table in frame.cc; the API accepts it
// when PixelFormat in proto/proad/v1/detection.proto has a value of the row's api_name.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>

#include "model/picture/image.h"
#include "model/picture/image_limits.h"

namespace proad::model {

// Named as in GenICam's PFNC. Samples of several bytes are little-endian.
enum class PixelFormat { kMono8, kMono16, kRgb8, kBgr8 };

// One row of the table.
struct PixelFormatTraits {
  PixelFormat format;
  const char* name;      // PFNC's: "Mono8"
  const char* api_name;  // of the API's enum value, without its prefix: "MONO8"
  int bits_per_pixel;
  // Converts one row of `width` pixels to RGB: reads RowBytes bytes, writes 3 * width bytes.
  void (*unpack_row)(const uint8_t* in, int width, uint8_t* out);
};

// All rows.
std::span<const PixelFormatTraits> PixelFormats();
const PixelFormatTraits& TraitsOf(PixelFormat format);

// Bytes of a row of `width` pixels without padding.
int64_t RowBytes(PixelFormat format, int64_t width);

// A frame. Does not own `data`.
struct FrameView {
  int64_t width = 0;
  int64_t height = 0;
  int64_t stride = 0;  // bytes from one row to the next; 0 = RowBytes
  PixelFormat format = PixelFormat::kMono8;
  // From (height - 1) * stride + RowBytes to height * stride bytes.
  std::span<const uint8_t> data;
};

// Copies the frame into an Image. Mono16 is scaled to 8 bits as ScaleTo8Bit does. Sizes are checked
// in 64 bits before memory is allocated.
//
// Throws InvalidInput that names the field ("frame.width", "frame.height", "frame.stride",
// "frame.data") with reason IMAGE_EMPTY, IMAGE_TOO_LARGE, IMAGE_BYTES_TOO_LARGE or
// FRAME_SIZE_MISMATCH.
Image UnpackFrame(const FrameView& frame, const ImageLimits& limits = {});

}  // namespace proad::model
