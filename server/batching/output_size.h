// The size of an answer, from the request. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>

#include "server/batching/detection.h"

namespace proad::server {

// Upper bound of the bytes of a heatmap and an overlay on a grid of `width` x `height` pixels: 0
// without outputs, 4, 2 or 1 bytes per pixel of a heatmap, 3 of an overlay. For PNG files the bound
// is that of pixels that do not compress.
int64_t MaxOutputBytes(const DetectOutputs& outputs, int64_t width, int64_t height);

// MaxOutputBytes of the largest answer with `pixels` pixels: a FLOAT32 heatmap with an overlay.
int64_t LargestOutputBytes(int64_t pixels);

}  // namespace proad::server
