#include "model/picture/mask.h"

#include <algorithm>

#include "model/picture/resize.h"

namespace proad::model {
namespace {

// The image pixels, of `size`, that contain the centres of the map's samples.
std::vector<int> NearestPixels(int size, int resize, int crop_offset, int crop, int map_size) {
  std::vector<int> pixels(map_size);
  for (int i = 0; i < map_size; ++i) {
    const double resized = crop_offset + (i + 0.5) * crop / map_size;
    pixels[i] = std::clamp(static_cast<int>(resized * size / resize), 0, size - 1);
  }
  return pixels;
}

}  // namespace

std::vector<uint8_t> MaskToMap(const Image& mask, int map_width, int map_height,
                               const Preprocessing& preprocessing) {
  CheckSizes(preprocessing);
  CheckPixels(mask);
  const Box crop = CropBox(preprocessing);
  const std::vector<int> columns =
      NearestPixels(mask.width, preprocessing.resize_width, crop.x, crop.width, map_width);
  const std::vector<int> rows =
      NearestPixels(mask.height, preprocessing.resize_height, crop.y, crop.height, map_height);
  std::vector<uint8_t> result;
  result.reserve(size_t(map_width) * map_height);
  for (const int y : rows) {
    const uint8_t* const row = mask.pixels.data() + size_t{3} * mask.width * y;
    for (const int x : columns) {
      const uint8_t* const pixel = row + size_t{3} * x;
      result.push_back(pixel[0] != 0 || pixel[1] != 0 || pixel[2] != 0 ? 255 : 0);
    }
  }
  return result;
}

}  // namespace proad::model
