// Bicubic resizing of float images, on their device.
//
// For networks that need an image at another size than the input. Preprocessing resizes the input
// itself with resample.h. Pure function; safe to call from any thread.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace proad::model {

// Antialiased if the height shrinks; clamped to 0..1.
// images: float [B, C, H, W] -> [B, C, height, width]
torch::Tensor ResizeBicubic(const torch::Tensor& images, int64_t height, int64_t width);

}  // namespace proad::model
