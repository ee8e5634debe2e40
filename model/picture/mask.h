// Masks of datasets: images that mark the pixels of a defect.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/picture/image_header.h"
#include "model/picture/image_limits.h"
#include "model/picture/preprocess.h"

namespace proad::model {

struct Mask {
  int width = 0;                // columns
  int height = 0;               // rows
  std::vector<uint8_t> pixels;  // [height, width], row-major: 255 defective, 0 not
  bool from_alpha = false;      // the file has the shape in its opacity alone
  bool lossy = false;           // the file's compression changes values
};

// Decodes a mask. A pixel is defective if its sample is not 0 as the file stores it, before any
// scaling to 8 bits (mask_samples.h has palettes and opacity). Also reads kinds of TIFF that are no
// images for inspection (tiff_mask.h). JPEG and lossy WebP do not keep zeros: there a pixel is
// defective if it is at least half as bright as the brightest one; a mask whose brightest value is
// below 16 of 255 is empty. An orientation tag is ignored.
//
// Throws InvalidInput as DecodeImage does.
Mask DecodeMask(std::span<const uint8_t> bytes, const ImageLimits& limits = {});

// The header of a file that DecodeMask may accept: the size is within the limits and the file is
// not truncated, as far as its header tells. Throws as DecodeMask.
ImageHeader ReadMaskHeader(std::span<const uint8_t> bytes, const ImageLimits& limits = {});

// Brings a mask to the grid of a map of the inspected area. Each sample of the result is that of
// the mask's pixel at the sample's centre.
//   mask: the size of its image  ->  [map_height, map_width]
// Throws InvalidInput as Prepare does.
std::vector<uint8_t> MaskToMap(const Mask& mask, int map_width, int map_height,
                               const Preprocessing& preprocessing);

}  // namespace proad::model
