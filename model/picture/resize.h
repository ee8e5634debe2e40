// Antialiased bilinear resize, bit for bit equal to Pillow's.
//
// Pillow (src/libImaging/Resample.c) uses a triangle filter that widens with the shrink factor, in
// fixed point with 22 fraction bits, along rows and columns, and rounds to 8 bits in between.
// OpenCV's INTER_LINEAR does not antialias and INTER_AREA uses another filter; the scores of a
// network change with either. No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include "model/picture/image.h"

namespace proad::model {

// Equal to Pillow's image.resize((width, height), BILINEAR). Throws InvalidInput for an image
// without pixels (field "image") and for a size below 1 x 1 (field "preprocessing").
Image ResizeBilinear(const Image& image, int width, int height);

// The pixels of `region` of the resized image; pixels outside of it are not computed. `image` must
// have at least one pixel; `region` must not be empty and must lie inside width x height.
Image ResizeBilinear(const Image& image, int width, int height, const Box& region);

// Throws InvalidInput (field "image", reason IMAGE_EMPTY) unless the image has pixels and their
// number matches its size.
void CheckPixels(const Image& image);

}  // namespace proad::model
