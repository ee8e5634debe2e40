// An uncompressed picture as a camera delivers it.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>

#include "model/picture/image.h"

namespace proad::model {

// Named as GenICam's PFNC does; multi-byte samples are little-endian.
enum class PixelFormat { kMono8, kMono16, kRgb8, kBgr8 };

// Bytes of one pixel.
int BytesPerPixel(PixelFormat format);

// Does not own `data`.
struct FrameView {
  int64_t width = 0;
  int64_t height = 0;
  int64_t stride = 0;  // bytes from one row to the next; 0 = width * BytesPerPixel
  PixelFormat format = PixelFormat::kMono8;
  // (height - 1) * stride + a row's bytes at least, height * stride at most.
  std::span<const uint8_t> data;
};

// Copies the frame into an Image; Mono16 is scaled by 65535 to 8 bit with rounding.
// Throws InvalidInput naming the field ("frame.width", "frame.height", "frame.stride",
// "frame.data") with reason IMAGE_EMPTY, IMAGE_TOO_LARGE, IMAGE_BYTES_TOO_LARGE or
// FRAME_SIZE_MISMATCH. All sizes are checked in 64 bits before anything is allocated.
Image UnpackFrame(const FrameView& frame, const ImageLimits& limits = {});

}  // namespace proad::model
