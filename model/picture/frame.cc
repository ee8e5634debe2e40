#include "model/picture/frame.h"

#include <algorithm>
#include <string>

#include "model/files/error.h"

namespace proad::model {
namespace {

const char* NameOf(PixelFormat format) {
  switch (format) {
    case PixelFormat::kMono8:
      return "Mono8";
    case PixelFormat::kMono16:
      return "Mono16";
    case PixelFormat::kRgb8:
      return "RGB8";
    case PixelFormat::kBgr8:
      return "BGR8";
  }
  __builtin_unreachable();
}

void CheckSize(const FrameView& frame, const ImageLimits& limits) {
  const auto check_side = [&](const char* field, int64_t side) {
    if (side <= 0) {
      throw InvalidImage(
          field, "IMAGE_EMPTY",
          std::string(field) + " is " + std::to_string(side) + "; at least 1 pixel is needed");
    }
    if (side > limits.max_side) {
      throw InvalidImage(field, "IMAGE_TOO_LARGE",
                         std::string(field) + " is " + std::to_string(side) + "; at most " +
                             std::to_string(limits.max_side) + " pixels a side are accepted");
    }
  };
  check_side("frame.width", frame.width);
  check_side("frame.height", frame.height);
  if (frame.width * frame.height > limits.max_pixels) {
    throw InvalidImage("frame.width", "IMAGE_TOO_LARGE",
                       "a frame of " + std::to_string(frame.width) + " x " +
                           std::to_string(frame.height) + " pixels; at most " +
                           std::to_string(limits.max_pixels) + " pixels are accepted");
  }
  if (static_cast<int64_t>(frame.data.size()) > limits.max_bytes) {
    throw InvalidImage("frame.data", "IMAGE_BYTES_TOO_LARGE",
                       "frame.data has " + std::to_string(frame.data.size()) + " bytes; at most " +
                           std::to_string(limits.max_bytes) + " are accepted");
  }
}

// Checks stride and data against each other; returns the stride in bytes.
int64_t CheckLayout(const FrameView& frame) {
  const int64_t row_bytes = frame.width * BytesPerPixel(frame.format);
  const std::string rows = "a row of " + std::to_string(frame.width) + " " + NameOf(frame.format) +
                           " pixels has " + std::to_string(row_bytes) + " bytes";
  if (frame.stride != 0 && frame.stride < row_bytes) {
    throw InvalidInput("frame.stride", "FRAME_SIZE_MISMATCH",
                       "frame.stride is " + std::to_string(frame.stride) + ", but " + rows);
  }
  const int64_t stride = frame.stride == 0 ? row_bytes : frame.stride;
  int64_t most = 0;
  if (__builtin_mul_overflow(stride, frame.height, &most)) {
    throw InvalidInput("frame.stride", "FRAME_SIZE_MISMATCH",
                       "frame.stride is " + std::to_string(frame.stride) + ", but frame.data has " +
                           std::to_string(frame.data.size()) + " bytes");
  }
  const int64_t least = most - stride + row_bytes;
  const auto size = static_cast<int64_t>(frame.data.size());
  if (size < least || size > most) {
    throw InvalidInput("frame.data", "FRAME_SIZE_MISMATCH",
                       "frame.data has " + std::to_string(size) + " bytes instead of " +
                           (least == most ? std::to_string(most)
                                          : std::to_string(least) + " to " + std::to_string(most)) +
                           " (" + std::to_string(frame.height) + " rows, stride " +
                           std::to_string(stride) + "; " + rows + ")");
  }
  return stride;
}

// One row to RGB.
void UnpackRow(PixelFormat format, const uint8_t* in, int width, uint8_t* out) {
  switch (format) {
    case PixelFormat::kMono8:
      for (int x = 0; x < width; ++x) std::fill_n(out + 3 * x, 3, in[x]);
      return;
    case PixelFormat::kMono16:
      for (int x = 0; x < width; ++x) {
        const auto value = static_cast<uint16_t>(in[2 * x] | in[2 * x + 1] << 8);
        std::fill_n(out + 3 * x, 3, ScaleTo8Bit(value));
      }
      return;
    case PixelFormat::kRgb8:
      std::copy_n(in, 3 * width, out);
      return;
    case PixelFormat::kBgr8:
      for (int x = 0; x < width; ++x) {
        out[3 * x] = in[3 * x + 2];
        out[3 * x + 1] = in[3 * x + 1];
        out[3 * x + 2] = in[3 * x];
      }
      return;
  }
}

}  // namespace

int BytesPerPixel(PixelFormat format) {
  switch (format) {
    case PixelFormat::kMono8:
      return 1;
    case PixelFormat::kMono16:
      return 2;
    case PixelFormat::kRgb8:
    case PixelFormat::kBgr8:
      return 3;
  }
  __builtin_unreachable();
}

Image UnpackFrame(const FrameView& frame, const ImageLimits& limits) {
  CheckSize(frame, limits);
  const int64_t stride = CheckLayout(frame);
  Image image{.width = static_cast<int>(frame.width), .height = static_cast<int>(frame.height)};
  image.pixels.resize(size_t{3} * frame.width * frame.height);
  for (int64_t y = 0; y < frame.height; ++y) {
    UnpackRow(frame.format, frame.data.data() + y * stride, image.width,
              image.pixels.data() + size_t{3} * image.width * y);
  }
  return image;
}

}  // namespace proad::model
