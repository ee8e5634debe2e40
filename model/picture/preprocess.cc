#include "model/picture/preprocess.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "model/files/error.h"
#include "model/picture/resize.h"

namespace proad::model {
namespace {

// The first pixel of torchvision's CenterCrop: int(round((size - crop) / 2.0)), halves to even.
int CropOffset(int size, int crop) {
  const int half = (size - crop) / 2;
  const bool tie = (size - crop) % 2 != 0;
  return tie && half % 2 != 0 ? half + 1 : half;
}

// Linear interpolation along one axis: value = map[low] + fraction * (map[high] - map[low]).
struct Tap {
  int low = 0;
  int high = 0;
  float fraction = 0;
};

// The taps of the image pixels begin .. begin + count - 1 of `size`, through resize and crop to a
// map of `map_size` samples. Pixel centres lie at half integers in each of these grids. Positions
// beyond the outermost samples take their values.
std::vector<Tap> MakeTaps(int begin, int count, int size, int resize, int crop_offset, int crop,
                          int map_size) {
  std::vector<Tap> taps(count);
  for (int i = 0; i < count; ++i) {
    const double resized = (begin + i + 0.5) * resize / size;
    const double exact = (resized - crop_offset) * map_size / crop - 0.5;
    const double position = std::clamp(exact, 0.0, map_size - 1.0);
    const int low = static_cast<int>(position);
    taps[i] = {low, std::min(low + 1, map_size - 1), static_cast<float>(position - low)};
  }
  return taps;
}

// Interpolates rows of a map to the width of the image on demand. Image rows come in ascending
// order, so a cache of two rows is enough.
class WidenedRows {
 public:
  WidenedRows(std::span<const float> map, int map_width, std::vector<Tap> taps)
      : map_(map), map_width_(map_width), taps_(std::move(taps)) {
    for (Row& row : rows_) row.values.resize(taps_.size());
  }

  const float* Get(int y) {
    Row& row = rows_[y % 2];
    if (row.y != y) {
      row.y = y;
      const float* in = map_.data() + size_t(y) * map_width_;
      for (size_t x = 0; x < taps_.size(); ++x) {
        const Tap& tap = taps_[x];
        row.values[x] = in[tap.low] + tap.fraction * (in[tap.high] - in[tap.low]);
      }
    }
    return row.values.data();
  }

 private:
  struct Row {
    int y = -1;
    std::vector<float> values;
  };
  std::span<const float> map_;
  int map_width_;
  std::vector<Tap> taps_;
  std::array<Row, 2> rows_;
};

}  // namespace

void CheckSizes(const Preprocessing& preprocessing) {
  const auto check = [](const char* axis, int resize, int crop) {
    if (resize >= 1 && crop >= 1 && crop <= resize) return;
    throw InvalidInput("preprocessing", "PREPROCESSING_INVALID",
                       std::string("preprocessing: crop_") + axis + " " + std::to_string(crop) +
                           " and resize_" + axis + " " + std::to_string(resize) +
                           "; 1 <= crop <= resize is needed");
  };
  check("height", preprocessing.resize_height, preprocessing.crop_height);
  check("width", preprocessing.resize_width, preprocessing.crop_width);
}

Box CropBox(const Preprocessing& preprocessing) {
  return {.x = CropOffset(preprocessing.resize_width, preprocessing.crop_width),
          .y = CropOffset(preprocessing.resize_height, preprocessing.crop_height),
          .width = preprocessing.crop_width,
          .height = preprocessing.crop_height};
}

PreparedImage Prepare(const Image& image, const Preprocessing& preprocessing) {
  CheckSizes(preprocessing);
  CheckPixels(image);
  Image cropped = ResizeBilinear(image, preprocessing.resize_width, preprocessing.resize_height,
                                 CropBox(preprocessing));
  return {cropped.width, cropped.height, std::move(cropped.pixels)};
}

Box InspectedArea(int width, int height, const Preprocessing& preprocessing) {
  CheckSizes(preprocessing);
  const Box crop = CropBox(preprocessing);
  const auto outwards = [](int begin, int count, int64_t size, int resize, int& from, int& length) {
    from = static_cast<int>(begin * size / resize);
    length = static_cast<int>(((begin + count) * size + resize - 1) / resize) - from;
  };
  Box area;
  outwards(crop.x, crop.width, width, preprocessing.resize_width, area.x, area.width);
  outwards(crop.y, crop.height, height, preprocessing.resize_height, area.y, area.height);
  return area;
}

std::vector<float> MapToOriginal(std::span<const float> map, int map_width, int map_height,
                                 int width, int height, const Preprocessing& preprocessing) {
  if (map_width < 1 || map_height < 1 || map.size() != size_t(map_width) * map_height) {
    throw InvalidInput("map", "MAP_SIZE_MISMATCH",
                       "a map of " + std::to_string(map_width) + " x " +
                           std::to_string(map_height) + " with " + std::to_string(map.size()) +
                           " values");
  }
  const Box area = InspectedArea(width, height, preprocessing);
  const Box crop = CropBox(preprocessing);
  WidenedRows rows(map, map_width,
                   MakeTaps(area.x, area.width, width, preprocessing.resize_width, crop.x,
                            crop.width, map_width));
  const std::vector<Tap> taps = MakeTaps(area.y, area.height, height, preprocessing.resize_height,
                                         crop.y, crop.height, map_height);
  std::vector<float> result(size_t(width) * height);
  for (int y = 0; y < area.height; ++y) {
    const float* low = rows.Get(taps[y].low);
    const float* high = rows.Get(taps[y].high);
    const float fraction = taps[y].fraction;
    float* out = result.data() + size_t(area.y + y) * width + area.x;
    for (int x = 0; x < area.width; ++x) out[x] = low[x] + fraction * (high[x] - low[x]);
  }
  return result;
}

}  // namespace proad::model
