// UnpackFrame on any combination of sizes and data: an image of that size or InvalidInput, nothing
// else.
#include <fuzzer/FuzzedDataProvider.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "model/files/error.h"
#include "model/picture/frame.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span formats = proad::model::PixelFormats();
  FuzzedDataProvider input(data, size);
  proad::model::FrameView frame;
  frame.format = formats[input.ConsumeIntegralInRange<size_t>(0, formats.size() - 1)].format;
  // Mostly sizes that the data can fill, sometimes any number there is.
  const bool any = input.ConsumeBool();
  const int64_t low = any ? INT64_MIN : 0;
  const int64_t high = any ? INT64_MAX : 300;
  frame.width = input.ConsumeIntegralInRange<int64_t>(low, high);
  frame.height = input.ConsumeIntegralInRange<int64_t>(low, high);
  frame.stride = input.ConsumeIntegralInRange<int64_t>(low, high * (any ? 1 : 4));
  const auto pixels = input.ConsumeRemainingBytes<uint8_t>();
  frame.data = pixels;
  try {
    const proad::model::Image image = proad::model::UnpackFrame(frame, {.max_pixels = 1 << 20});
    if (image.width != frame.width || image.height != frame.height ||
        image.pixels.size() != size_t{3} * image.width * image.height) {
      std::abort();
    }
  } catch (const proad::model::InvalidInput& error) {
    if (!error.field().starts_with("frame.")) std::abort();
  }
  return 0;
}
