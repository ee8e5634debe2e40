// Antialiased bilinear resampling, equal to Pillow's to the last bit.
//
// Pillow (src/libImaging/Resample.c) filters with a triangle that widens with the shrink factor, in
// fixed point of 22 bits, along rows and along columns, rounding to 8 bit in between. OpenCV's
// INTER_LINEAR has no antialiasing and INTER_AREA another filter; a network notices the difference.
// No LibTorch. Pure functions, safe to call from any thread.
#pragma once

#include "model/picture/image.h"
#include "model/picture/preprocess.h"

namespace proad::model {

// The pixels of `region` of what Pillow's image.resize((width, height), BILINEAR) makes of `image`;
// nothing outside the region is computed. `image` has at least one pixel, `region` lies inside
// width x height and is not empty.
Image ResampleBilinear(const Image& image, int width, int height, const Box& region);

}  // namespace proad::model
