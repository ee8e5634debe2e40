// The size limits of accepted images. Detect, datasets, training jobs, uploads and every command
// apply them through these functions.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <string>

namespace proad::model {

// They are checked against the file's header before memory of the stated size is allocated.
struct ImageLimits {
  int64_t max_bytes = 32 << 20;     // of the encoded file or of the frame's data
  int64_t max_pixels = 64'000'000;  // width * height
  int max_side = 20'000;            // width and height each

  bool operator==(const ImageLimits&) const = default;
};

// What the limits allow instead of `bytes` bytes, or of a size in pixels, with the key and the
// option that raise the limit: "at most 20000 pixels a side are accepted (image.max_side, ...)".
// "" when the limits allow it.
std::string BytesExcess(const ImageLimits& limits, int64_t bytes);
std::string SizeExcess(const ImageLimits& limits, int64_t width, int64_t height);

// Whether an image of this size is not empty and within the limits.
bool IsWithin(const ImageLimits& limits, int64_t width, int64_t height);

// Throw InvalidImage (field "encoded") with reason IMAGE_BYTES_TOO_LARGE or IMAGE_TOO_LARGE for a
// file that the limits do not allow. `format` is that of the file: "PNG".
void CheckFileBytes(const ImageLimits& limits, int64_t bytes);
void CheckFileSize(const ImageLimits& limits, const char* format, int64_t width, int64_t height);

}  // namespace proad::model
