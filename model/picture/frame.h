// Uncompressed images as cameras deliver them.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>

#include "model/picture/image.h"
#include "model/picture/image_limits.h"
#include "model/picture/pixel_format.h"

namespace proad::model {

// A frame. Does not own `data`.
struct FrameView {
  int64_t width = 0;
  int64_t height = 0;
  int64_t stride = 0;  // bytes from one row to the next; 0 = RowBytes
  PixelFormat format = PixelFormat::kMono8;
  // From (height - 1) * stride + RowBytes to height * stride bytes.
  std::span<const uint8_t> data;
};

// Copies the frame into an Image of 8 bits a channel. Bayer frames are interpolated bilinearly, with
// all bits of their samples. Sizes are checked in 64 bits before memory is allocated.
//
// Throws InvalidInput that names the field ("frame.width", "frame.height", "frame.stride",
// "frame.data") with reason
//   IMAGE_EMPTY, IMAGE_TOO_LARGE, IMAGE_BYTES_TOO_LARGE
//   FRAME_SIZE_MISMATCH    stride or data do not fit the size; a Bayer frame of less than 3 pixels a
//                          side; a YUV422 frame of an odd width
//   FRAME_SAMPLE_INVALID   a sample of 10 or 12 bits in 16 has one of the unused bits set
Image UnpackFrame(const FrameView& frame, const ImageLimits& limits = {});

}  // namespace proad::model
