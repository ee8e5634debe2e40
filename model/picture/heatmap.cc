#include "model/picture/heatmap.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <opencv2/core/mat.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <vector>

#include "model/files/error.h"

namespace proad::model {
namespace {

static_assert(std::endian::native == std::endian::little, "samples are written as they lie");

void CheckRange(MapRange range) {
  if (std::isfinite(range.low) && std::isfinite(range.high) && range.low < range.high) return;
  throw InvalidInput("map_range", "MAP_RANGE_INVALID",
                     "map_range from " + std::to_string(range.low) + " to " +
                         std::to_string(range.high) +
                         "; two finite numbers, low < high, are needed");
}

// Throws unless the map is of that size and finite; returns its lowest and highest value.
MapRange CheckMap(std::span<const float> map, int width, int height) {
  if (width < 1 || height < 1 || map.size() != size_t(width) * height) {
    throw InvalidInput("map", "MAP_SIZE_MISMATCH",
                       "a map of " + std::to_string(width) + " x " + std::to_string(height) +
                           " with " + std::to_string(map.size()) + " values");
  }
  MapRange found = {map[0], map[0]};
  float not_finite = 0;  // stays 0: 0 * x is 0 only for finite x
  for (const float value : map) {
    found.low = std::min(found.low, value);
    found.high = std::max(found.high, value);
    not_finite += 0.0f * value;
  }
  if (not_finite != 0) {
    throw InvalidInput("map", "MAP_NOT_FINITE", "the anomaly map holds a value that is not finite");
  }
  return found;
}

// value = raw * scale + offset over 0 .. max_raw.
struct Quantiser {
  float scale = 1;
  float offset = 0;
  double max_raw = 0;

  Quantiser(MapRange range, MapRange found, int samples) : max_raw(samples) {
    offset = std::min(range.low, found.low);
    const double high = std::max(range.high, found.high);
    scale = static_cast<float>((high - offset) / max_raw);
    // Rounding to float must not push the highest value out.
    if (scale * max_raw + offset < high) {
      scale = std::nextafter(scale, std::numeric_limits<float>::infinity());
    }
  }

  template <typename Raw>
  void Apply(std::span<const float> map, Raw* out) const {
    const double steps = 1.0 / scale;
    for (size_t i = 0; i < map.size(); ++i) {
      const double raw = (double{map[i]} - offset) * steps + 0.5;
      out[i] = static_cast<Raw>(static_cast<int32_t>(std::min(raw, max_raw)));
    }
  }
};

std::string ToPng(const cv::Mat& samples) {
  // OpenCV's own settings are its fastest: level 1 and a fixed filter. Naming a level would switch
  // on the search for the best filter of every row.
  std::vector<uint8_t> file;
  cv::imencode(".png", samples, file);
  return std::string(file.begin(), file.end());
}

// One colour and how much of it covers the picture.
struct Paint {
  std::array<uint16_t, 3> bgr_times_cover = {};
  uint16_t clear = 256;  // of 256: share of the picture that shines through
};

constexpr int kPaints = 256;
constexpr double kMostCover = 0.7;

std::array<Paint, kPaints> MakePalette() {
  cv::Mat ramp(1, kPaints, CV_8U);
  for (int i = 0; i < kPaints; ++i) ramp.at<uint8_t>(i) = static_cast<uint8_t>(i);
  cv::Mat colours;
  cv::applyColorMap(ramp, colours, cv::COLORMAP_TURBO);
  std::array<Paint, kPaints> palette;
  for (int i = 0; i < kPaints; ++i) {
    const double t = i / (kPaints - 1.0);
    const auto cover = static_cast<uint16_t>(std::lround(256 * kMostCover * t * t * (3 - 2 * t)));
    const cv::Vec3b& bgr = colours.at<cv::Vec3b>(i);
    for (int c = 0; c < 3; ++c) palette[i].bgr_times_cover[c] = bgr[c] * cover;
    palette[i].clear = 256 - cover;
  }
  return palette;
}

// Of 256: how bright a pixel stays that was not inspected.
constexpr int kDarkened = 90;

// RGB to BGR, darkened.
void DarkenRow(const uint8_t* rgb, int pixels, uint8_t* bgr) {
  for (int x = 0; x < pixels; ++x) {
    for (int c = 0; c < 3; ++c) bgr[3 * x + c] = rgb[3 * x + 2 - c] * kDarkened >> 8;
  }
}

// RGB to BGR, painted over.
void PaintRow(const uint8_t* rgb, const float* map, int pixels, MapRange range, uint8_t* bgr) {
  static const std::array<Paint, kPaints> palette = MakePalette();
  const float steps = (kPaints - 1) / (range.high - range.low);
  for (int x = 0; x < pixels; ++x) {
    const float position = std::clamp((map[x] - range.low) * steps, 0.0f, kPaints - 1.0f);
    const Paint& paint = palette[static_cast<int>(position + 0.5f)];
    for (int c = 0; c < 3; ++c) {
      bgr[3 * x + c] = (rgb[3 * x + 2 - c] * paint.clear + paint.bgr_times_cover[c] + 128) >> 8;
    }
  }
}

}  // namespace

EncodedHeatmap EncodeHeatmap(std::span<const float> map, int width, int height,
                             HeatmapEncoding encoding, MapRange range) {
  CheckRange(range);
  const MapRange found = CheckMap(map, width, height);
  EncodedHeatmap result{.width = width, .height = height};
  if (encoding == HeatmapEncoding::kFloat32) {
    result.data.assign(reinterpret_cast<const char*>(map.data()), map.size_bytes());
    return result;
  }
  const bool narrow = encoding == HeatmapEncoding::kU8;
  const Quantiser quantiser(range, found, narrow ? 255 : 65535);
  result.scale = quantiser.scale;
  result.offset = quantiser.offset;
  if (encoding == HeatmapEncoding::kPng16) {
    cv::Mat samples(height, width, CV_16U);
    quantiser.Apply(map, samples.ptr<uint16_t>());
    result.data = ToPng(samples);
    return result;
  }
  result.data.resize(map.size() * (narrow ? 1 : 2));
  if (narrow) {
    quantiser.Apply(map, reinterpret_cast<uint8_t*>(result.data.data()));
  } else {
    quantiser.Apply(map, reinterpret_cast<uint16_t*>(result.data.data()));
  }
  return result;
}

std::string RenderOverlay(const Image& picture, std::span<const float> map, MapRange range,
                          Box inspected_area) {
  CheckRange(range);
  CheckMap(map, picture.width, picture.height);
  const Box& area = inspected_area;
  const int left = std::clamp(area.x, 0, picture.width);
  const int right = std::clamp(area.x + area.width, left, picture.width);
  cv::Mat bgr(picture.height, picture.width, CV_8UC3);
  for (int y = 0; y < picture.height; ++y) {
    const uint8_t* in = picture.pixels.data() + size_t{3} * picture.width * y;
    uint8_t* out = bgr.ptr<uint8_t>(y);
    if (y < area.y || y >= area.y + area.height) {
      DarkenRow(in, picture.width, out);
      continue;
    }
    DarkenRow(in, left, out);
    PaintRow(in + 3 * left, map.data() + size_t(picture.width) * y + left, right - left, range,
             out + 3 * left);
    DarkenRow(in + 3 * right, picture.width - right, out + 3 * right);
  }
  return ToPng(bgr);
}

}  // namespace proad::model
