#include "model/picture/frame.h"

#include <string>

#include "model/files/error.h"

namespace proad::model {
namespace {

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

// Checks that the format can have the size.
void CheckFamily(const FrameView& frame) {
  const PixelFormatTraits& traits = TraitsOf(frame.format);
  constexpr int kMinBayerSide = 3;  // a pixel with neighbours of both other colours
  const auto check_side = [&](const char* field, int64_t side) {
    if (traits.family == PixelFamily::kBayer && side < kMinBayerSide) {
      throw InvalidInput(field, "FRAME_SIZE_MISMATCH",
                         std::string(field) + " is " + std::to_string(side) + "; a " + traits.name +
                             " frame needs at least " + std::to_string(kMinBayerSide) +
                             " pixels a side");
    }
  };
  check_side("frame.width", frame.width);
  check_side("frame.height", frame.height);
  if (traits.family == PixelFamily::kYuv422 && frame.width % 2 != 0) {
    throw InvalidInput("frame.width", "FRAME_SIZE_MISMATCH",
                       "frame.width is " + std::to_string(frame.width) + "; a " + traits.name +
                           " frame needs an even width, because two pixels share their colour");
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

// Checks that no sample in 16 bits uses more bits than the format has. Samples with other bits are
// usually in the high bits or of another format.
void CheckSamples(const PixelRows& rows, const PixelFormatTraits& traits) {
  if (traits.bits_per_sample == traits.bits_per_pixel || traits.bits_per_pixel != 16 ||
      traits.family == PixelFamily::kYuv422) {
    return;
  }
  const int white = (1 << traits.bits_per_sample) - 1;
  for (int y = 0; y < rows.height; ++y) {
    const uint8_t* row = rows.data + y * rows.stride;
    int used = 0;
    for (int x = 0; x < rows.width; ++x) used |= row[2 * x + 1];
    if (used << 8 <= white) continue;
    int x = 0;
    while (row[2 * x + 1] << 8 <= white) ++x;
    throw InvalidInput("frame.data", "FRAME_SAMPLE_INVALID",
                       "frame.data has the sample " +
                           std::to_string(row[2 * x] | row[2 * x + 1] << 8) + " at column " +
                           std::to_string(x) + ", row " + std::to_string(y) + "; white of " +
                           traits.name + " is " + std::to_string(white));
  }
}

}  // namespace

Image UnpackFrame(const FrameView& frame, const ImageLimits& limits) {
  CheckSize(frame, limits);
  CheckFamily(frame);
  const PixelFormatTraits& traits = TraitsOf(frame.format);
  Image image{.width = static_cast<int>(frame.width), .height = static_cast<int>(frame.height)};
  const PixelRows rows{frame.data.data(), CheckLayout(frame), image.width, image.height};
  CheckSamples(rows, traits);
  image.pixels.resize(size_t{3} * image.width * image.height);
  traits.unpack(rows, image.pixels.data());
  return image;
}

}  // namespace proad::model
