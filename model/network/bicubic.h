// Pictures as floats brought to another size, on the device that they are on.
//
// For networks that want a picture larger or smaller than the input; what the input itself is made
// of is resized by resample.h. Pure function; safe to call from any thread.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace proad::model {

// Bicubic, antialiased where it gets smaller, cut to 0..1. images: float [B, C, H, W] -> [B, C,
// height, width]
torch::Tensor ResizeBicubic(const torch::Tensor& images, int64_t height, int64_t width);

}  // namespace proad::model
