#include "model/picture/frame.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "model/files/error.h"

namespace proad::model {
namespace {

void UnpackMono8(const uint8_t* in, int width, uint8_t* out) {
  for (int x = 0; x < width; ++x) std::fill_n(out + 3 * x, 3, in[x]);
}

void UnpackMono16(const uint8_t* in, int width, uint8_t* out) {
  for (int x = 0; x < width; ++x) {
    const auto sample = static_cast<uint16_t>(in[2 * x] | in[2 * x + 1] << 8);
    std::fill_n(out + 3 * x, 3, ScaleTo8Bit(sample));
  }
}

void UnpackRgb8(const uint8_t* in, int width, uint8_t* out) { std::copy_n(in, 3 * width, out); }

void UnpackBgr8(const uint8_t* in, int width, uint8_t* out) {
  for (int x = 0; x < width; ++x) {
    out[3 * x] = in[3 * x + 2];
    out[3 * x + 1] = in[3 * x + 1];
    out[3 * x + 2] = in[3 * x];
  }
}

constexpr PixelFormatTraits kFormats[] = {
    {PixelFormat::kMono8, "Mono8", "MONO8", 8, UnpackMono8},
    {PixelFormat::kMono16, "Mono16", "MONO16", 16, UnpackMono16},
    {PixelFormat::kRgb8, "RGB8", "RGB8", 24, UnpackRgb8},
    {PixelFormat::kBgr8, "BGR8", "BGR8", 24, UnpackBgr8},
};

void CheckSize(const FrameView& frame, const ImageLimits& limits) {
  const auto check_side = [&](const char* field, int64_t side) {
    if (side <= 0) {
      throw InvalidImage(
          field, "IMAGE_EMPTY",
          std::string(field) + " is " + std::to_string(side) + "; at least 1 pixel is needed");
    }
    if (const std::string excess = SizeExcess(limits, side, 1); !excess.empty()) {
      throw InvalidImage(field, "IMAGE_TOO_LARGE",
                         std::string(field) + " is " + std::to_string(side) + "; " + excess);
    }
  };
  check_side("frame.width", frame.width);
  check_side("frame.height", frame.height);
  if (const std::string excess = SizeExcess(limits, frame.width, frame.height); !excess.empty()) {
    throw InvalidImage("frame.width", "IMAGE_TOO_LARGE",
                       "a frame of " + std::to_string(frame.width) + " x " +
                           std::to_string(frame.height) + " pixels; " + excess);
  }
  const auto bytes = static_cast<int64_t>(frame.data.size());
  if (const std::string excess = BytesExcess(limits, bytes); !excess.empty()) {
    throw InvalidImage("frame.data", "IMAGE_BYTES_TOO_LARGE",
                       "frame.data has " + std::to_string(bytes) + " bytes; " + excess);
  }
}

// Checks that stride and data match the size; returns the stride in bytes.
int64_t CheckLayout(const FrameView& frame) {
  const int64_t row_bytes = RowBytes(frame.format, frame.width);
  const std::string rows = "a row of " + std::to_string(frame.width) + " " +
                           TraitsOf(frame.format).name + " pixels has " +
                           std::to_string(row_bytes) + " bytes";
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

}  // namespace

std::span<const PixelFormatTraits> PixelFormats() { return kFormats; }

const PixelFormatTraits& TraitsOf(PixelFormat format) {
  return *std::find_if(std::begin(kFormats), std::end(kFormats),
                       [&](const PixelFormatTraits& traits) { return traits.format == format; });
}

int64_t RowBytes(PixelFormat format, int64_t width) {
  return (width * TraitsOf(format).bits_per_pixel + 7) / 8;
}

Image UnpackFrame(const FrameView& frame, const ImageLimits& limits) {
  CheckSize(frame, limits);
  const int64_t stride = CheckLayout(frame);
  const auto unpack_row = TraitsOf(frame.format).unpack_row;
  Image image{.width = static_cast<int>(frame.width), .height = static_cast<int>(frame.height)};
  image.pixels.resize(size_t{3} * frame.width * frame.height);
  for (int64_t y = 0; y < frame.height; ++y) {
    unpack_row(frame.data.data() + y * stride, image.width,
               image.pixels.data() + size_t{3} * image.width * y);
  }
  return image;
}

}  // namespace proad::model
