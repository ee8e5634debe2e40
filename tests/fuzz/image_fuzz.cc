// DecodeImage on any bytes: a picture within the limits or InvalidInput, nothing else.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "model/files/error.h"
#include "model/picture/decode.h"
#include "model/picture/image.h"
#include "model/picture/image_limits.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const proad::model::ImageLimits limits{
      .max_bytes = 1 << 16, .max_pixels = 1 << 16, .max_side = 2048};
  try {
    const proad::model::Image image = proad::model::DecodeImage(std::span(data, size), limits);
    if (image.width < 1 || image.width > limits.max_side || image.height < 1 ||
        image.height > limits.max_side || int64_t{image.width} * image.height > limits.max_pixels ||
        image.pixels.size() != size_t{3} * image.width * image.height) {
      std::abort();
    }
  } catch (const proad::model::InvalidInput& error) {
    if (error.field() != "encoded") std::abort();
  }
  return 0;
}
