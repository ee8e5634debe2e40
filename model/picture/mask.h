// Masks of datasets: images that mark the pixels of a defect.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "model/picture/image.h"
#include "model/picture/preprocess.h"

namespace proad::model {

// Brings a mask to the grid of a map of the inspected area. Each sample of the result is 255 if the
// mask pixel at the sample's centre has a channel that is not 0, and 0 otherwise.
//   mask: the size of its image  ->  [map_height, map_width]
// Throws InvalidInput as Prepare does.
std::vector<uint8_t> MaskToMap(const Image& mask, int map_width, int map_height,
                               const Preprocessing& preprocessing);

}  // namespace proad::model
