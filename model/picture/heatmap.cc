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

static_assert(std::endian::native == std::endian::little, "samples are written without conversion");

void CheckRange(MapRange range) {
  if (std::isfinite(range.low) && std::isfinite(range.high) && range.low < range.high) return;
  throw InvalidInput("map_range", "MAP_RANGE_INVALID",
                     "map_range from " + std::to_string(range.low) + " to " +
                         std::to_string(range.high) +
                         "; it must be two finite numbers with low < high");
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
    // Rounding to float must not move the highest value out of the range.
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
  // Without parameters OpenCV uses its fastest settings: level 1 and a fixed filter. With a level
  // it would search the best filter of every row.
  std::vector<uint8_t> file;
  cv::imencode(".png", samples, file);
  return std::string(file.begin(), file.end());
}

// One colour of the overlay and its opacity.
struct OverlayColour {
  std::array<uint16_t, 3> bgr_times_opacity = {};
  uint16_t clear = 256;  // share of the image that stays visible, of 256
};

constexpr int kColours = 256;
constexpr double kMaxOpacity = 0.7;

std::array<OverlayColour, kColours> MakePalette() {
  cv::Mat ramp(1, kColours, CV_8U);
  for (int i = 0; i < kColours; ++i) ramp.at<uint8_t>(i) = static_cast<uint8_t>(i);
  cv::Mat colours;
  cv::applyColorMap(ramp, colours, cv::COLORMAP_TURBO);
  std::array<OverlayColour, kColours> palette;
  for (int i = 0; i < kColours; ++i) {
    const double t = i / (kColours - 1.0);
    const auto opacity =
        static_cast<uint16_t>(std::lround(256 * kMaxOpacity * t * t * (3 - 2 * t)));
    const cv::Vec3b& bgr = colours.at<cv::Vec3b>(i);
    for (int c = 0; c < 3; ++c) palette[i].bgr_times_opacity[c] = bgr[c] * opacity;
    palette[i].clear = 256 - opacity;
  }
  return palette;
}

// Brightness of a pixel that was not inspected, of 256.
constexpr int kDarkened = 90;

// RGB to BGR, darkened.
void DarkenRow(const uint8_t* rgb, int pixels, uint8_t* bgr) {
  for (int x = 0; x < pixels; ++x) {
    for (int c = 0; c < 3; ++c) bgr[3 * x + c] = rgb[3 * x + 2 - c] * kDarkened >> 8;
  }
}

// RGB to BGR with the overlay.
void BlendRow(const uint8_t* rgb, const float* map, int pixels, MapRange range, uint8_t* bgr) {
  static const std::array<OverlayColour, kColours> palette = MakePalette();
  const float steps = (kColours - 1) / (range.high - range.low);
  for (int x = 0; x < pixels; ++x) {
    const float position = std::clamp((map[x] - range.low) * steps, 0.0f, kColours - 1.0f);
    const OverlayColour& colour = palette[static_cast<int>(position + 0.5f)];
    for (int c = 0; c < 3; ++c) {
      bgr[3 * x + c] = (rgb[3 * x + 2 - c] * colour.clear + colour.bgr_times_opacity[c] + 128) >> 8;
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

std::string RenderOverlay(const Image& image, std::span<const float> map, MapRange range,
                          Box inspected_area) {
  CheckRange(range);
  CheckMap(map, image.width, image.height);
  const Box& area = inspected_area;
  const int left = std::clamp(area.x, 0, image.width);
  const int right = std::clamp(area.x + area.width, left, image.width);
  cv::Mat bgr(image.height, image.width, CV_8UC3);
  for (int y = 0; y < image.height; ++y) {
    const uint8_t* in = image.pixels.data() + size_t{3} * image.width * y;
    uint8_t* out = bgr.ptr<uint8_t>(y);
    if (y < area.y || y >= area.y + area.height) {
      DarkenRow(in, image.width, out);
      continue;
    }
    DarkenRow(in, left, out);
    BlendRow(in + 3 * left, map.data() + size_t(image.width) * y + left, right - left, range,
             out + 3 * left);
    DarkenRow(in + 3 * right, image.width - right, out + 3 * right);
  }
  return ToPng(bgr);
}

}  // namespace proad::model
