#include "model/picture/image_limits.h"

#include "model/files/error.h"

namespace proad::model {
namespace {

std::string AtMost(int64_t limit, const char* unit, const char* key, const char* option) {
  return "at most " + std::to_string(limit) + " " + unit + " are accepted (" + key +
         " of the configuration, " + option + " of a command)";
}

}  // namespace

std::string BytesExcess(const ImageLimits& limits, int64_t bytes) {
  if (bytes <= limits.max_bytes) return "";
  return AtMost(limits.max_bytes, "bytes", "image.max_bytes", "--max-image-bytes");
}

std::string SizeExcess(const ImageLimits& limits, int64_t width, int64_t height) {
  if (width > limits.max_side || height > limits.max_side) {
    return AtMost(limits.max_side, "pixels a side", "image.max_side", "--max-image-side");
  }
  // The product fits: both sides are at most an int by now.
  if (width * height > limits.max_pixels) {
    return AtMost(limits.max_pixels, "pixels", "image.max_pixels", "--max-image-pixels");
  }
  return "";
}

bool IsWithin(const ImageLimits& limits, int64_t width, int64_t height) {
  return width > 0 && height > 0 && SizeExcess(limits, width, height).empty();
}

void CheckFileBytes(const ImageLimits& limits, int64_t bytes) {
  const std::string excess = BytesExcess(limits, bytes);
  if (excess.empty()) return;
  throw InvalidImage("encoded", "IMAGE_BYTES_TOO_LARGE",
                     "a file of " + std::to_string(bytes) + " bytes; " + excess);
}

void CheckFileSize(const ImageLimits& limits, const char* format, int64_t width, int64_t height) {
  const std::string excess = SizeExcess(limits, width, height);
  if (excess.empty()) return;
  throw InvalidImage("encoded", "IMAGE_TOO_LARGE",
                     std::string(format) + " file of " + std::to_string(width) + " x " +
                         std::to_string(height) + " pixels; " + excess);
}

}  // namespace proad::model
