#include "model/picture/heatmap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "model/files/error.h"
#include "model/picture/decode.h"
#include "tests/support/patterns.h"

namespace proad::model {
namespace {

using ::testing::HasSubstr;

constexpr int kWidth = 37;
constexpr int kHeight = 21;

// Values from `low` to `high`, both reached.
std::vector<float> Ramp(float low, float high) {
  std::vector<float> map(kWidth * kHeight);
  for (size_t i = 0; i < map.size(); ++i) {
    map[i] = low + (high - low) * static_cast<float>(i) / static_cast<float>(map.size() - 1);
  }
  map.back() = high;
  return map;
}

// Raw samples as a client would read them.
std::vector<double> RawSamples(const EncodedHeatmap& heatmap, HeatmapEncoding encoding) {
  std::vector<double> raw;
  const auto* bytes = reinterpret_cast<const uint8_t*>(heatmap.data.data());
  switch (encoding) {
    case HeatmapEncoding::kFloat32: {
      std::vector<float> values(heatmap.data.size() / 4);
      std::memcpy(values.data(), bytes, heatmap.data.size());
      raw.assign(values.begin(), values.end());
      break;
    }
    case HeatmapEncoding::kU16:
      for (size_t i = 0; i < heatmap.data.size(); i += 2)
        raw.push_back(bytes[i] | bytes[i + 1] << 8);
      break;
    case HeatmapEncoding::kU8:
      raw.assign(bytes, bytes + heatmap.data.size());
      break;
    case HeatmapEncoding::kPng16: {
      const std::vector<uint8_t> file(bytes, bytes + heatmap.data.size());
      const cv::Mat samples = cv::imdecode(file, cv::IMREAD_UNCHANGED);
      EXPECT_EQ(samples.type(), CV_16UC1);
      EXPECT_EQ(samples.cols, heatmap.width);
      EXPECT_EQ(samples.rows, heatmap.height);
      raw.assign(samples.begin<uint16_t>(), samples.end<uint16_t>());
      break;
    }
  }
  return raw;
}

class EveryEncoding : public testing::TestWithParam<HeatmapEncoding> {
 protected:
  static int MaxRaw() { return GetParam() == HeatmapEncoding::kU8 ? 255 : 65535; }
  static bool IsFloat() { return GetParam() == HeatmapEncoding::kFloat32; }
};

TEST_P(EveryEncoding, SampleTimesScalePlusOffsetIsTheValue) {
  for (const MapRange values :
       {MapRange{0, 0.3f}, {0, 0.07f}, {0, 1.9f}, {-0.1f, 0.2f}, {0.1f, 0.1f}}) {
    for (const MapRange range : {MapRange{0, 0.3f}, {0.05f, 0.5f}, {-1, 1}}) {
      const std::vector<float> map = Ramp(values.low, values.high);
      const EncodedHeatmap heatmap = EncodeHeatmap(map, kWidth, kHeight, GetParam(), range);
      EXPECT_EQ(heatmap.width, kWidth);
      EXPECT_EQ(heatmap.height, kHeight);
      const std::vector<double> raw = RawSamples(heatmap, GetParam());
      ASSERT_EQ(raw.size(), map.size());
      for (size_t i = 0; i < map.size(); ++i) {
        const double value = raw[i] * heatmap.scale + heatmap.offset;
        const double step = IsFloat() ? 0 : heatmap.scale * 0.5000001;
        ASSERT_LE(std::abs(value - map[i]), step) << map[i] << " came back as " << value;
      }
    }
  }
}

// Samples of two images compare: the scale does not depend on the image.
TEST_P(EveryEncoding, UsesTheModelsRangeForValuesInside) {
  const MapRange range = {0, 0.3f};
  const EncodedHeatmap calm = EncodeHeatmap(Ramp(0, 0.01f), kWidth, kHeight, GetParam(), range);
  const EncodedHeatmap full = EncodeHeatmap(Ramp(0, 0.3f), kWidth, kHeight, GetParam(), range);
  EXPECT_EQ(calm.scale, full.scale);
  EXPECT_EQ(calm.offset, 0.0f);
  EXPECT_EQ(full.offset, 0.0f);
  if (!IsFloat()) {
    EXPECT_FLOAT_EQ(calm.scale, 0.3f / static_cast<float>(MaxRaw()));
    EXPECT_EQ(RawSamples(full, GetParam()).back(), MaxRaw());
  } else {
    EXPECT_EQ(calm.scale, 1.0f);
  }
}

TEST_P(EveryEncoding, WidensTheRangeForHigherValues) {
  const EncodedHeatmap heatmap =
      EncodeHeatmap(Ramp(0, 0.9f), kWidth, kHeight, GetParam(), {0, 0.3f});
  EXPECT_EQ(heatmap.offset, 0.0f);
  if (!IsFloat()) {
    EXPECT_FLOAT_EQ(heatmap.scale, 0.9f / static_cast<float>(MaxRaw()));
  }
  EXPECT_NEAR(RawSamples(heatmap, GetParam()).back() * heatmap.scale, 0.9, 1e-6);
}

TEST_P(EveryEncoding, WidensTheRangeForLowerValues) {
  const EncodedHeatmap heatmap =
      EncodeHeatmap(Ramp(-0.2f, 0.1f), kWidth, kHeight, GetParam(), {0, 0.3f});
  if (!IsFloat()) {
    EXPECT_EQ(heatmap.offset, -0.2f);
  }
  EXPECT_NEAR(RawSamples(heatmap, GetParam()).front() * heatmap.scale + heatmap.offset, -0.2, 1e-6);
}

TEST_P(EveryEncoding, RefusesInvalidMapsAndRanges) {
  const auto refusal = [](const std::vector<float>& map, int width, MapRange range) {
    try {
      EncodeHeatmap(map, width, kHeight, GetParam(), range);
    } catch (const InvalidInput& error) {
      return error.field() + " " + error.reason() + ": " + error.what();
    }
    return std::string("accepted");
  };
  const MapRange range = {0, 0.3f};
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    std::vector<float> map = Ramp(0, 0.1f);
    map[100] = bad;
    EXPECT_THAT(refusal(map, kWidth, range), HasSubstr("map MAP_NOT_FINITE"));
    EXPECT_THAT(refusal(Ramp(0, 0.1f), kWidth, {0, bad}), HasSubstr("map_range MAP_RANGE_INVALID"));
  }
  EXPECT_THAT(refusal(Ramp(0, 0.1f), kWidth + 1, range), HasSubstr("map MAP_SIZE_MISMATCH"));
  EXPECT_THAT(refusal(Ramp(0, 0.1f), 0, range), HasSubstr("map MAP_SIZE_MISMATCH"));
  EXPECT_THAT(refusal(Ramp(0, 0.1f), kWidth, {0.3f, 0.3f}), HasSubstr("low < high"));
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryEncoding,
                         testing::Values(HeatmapEncoding::kFloat32, HeatmapEncoding::kU16,
                                         HeatmapEncoding::kU8, HeatmapEncoding::kPng16));

// ---------------------------------------------------------------- overlay

struct Overlay {
  Image image;
  // The difference between a pixel and that of the image.
  int Change(const Image& picture, int x, int y) const {
    int change = 0;
    for (int c = 0; c < 3; ++c) {
      const size_t at = 3 * (size_t(y) * picture.width + x) + c;
      change = std::max(change, std::abs(image.pixels[at] - picture.pixels[at]));
    }
    return change;
  }
  int At(int x, int y, int c) const { return image.pixels[3 * (size_t(y) * image.width + x) + c]; }
};

Overlay Render(const Image& picture, const std::vector<float>& map, MapRange range, Box area) {
  const std::string png = RenderOverlay(picture, map, range, area);
  const Overlay overlay{DecodeImage({reinterpret_cast<const uint8_t*>(png.data()), png.size()})};
  EXPECT_EQ(overlay.image.width, picture.width);
  EXPECT_EQ(overlay.image.height, picture.height);
  return overlay;
}

constexpr MapRange kRange = {0, 0.3f};
constexpr Box kAll = {0, 0, 80, 60};

TEST(RenderOverlay, LeavesAnImageWithoutAnomalyUnchanged) {
  const Image picture = test::Pattern(80, 60);
  EXPECT_EQ(Render(picture, std::vector<float>(80 * 60, 0.0f), kRange, kAll).image.pixels,
            picture.pixels);
}

TEST(RenderOverlay, HigherValuesAreMoreOpaque) {
  const Image picture{80, 60, std::vector<uint8_t>(3 * 80 * 60, 128)};
  std::vector<float> map(80 * 60);
  for (int y = 0; y < 60; ++y) {
    for (int x = 0; x < 80; ++x) map[y * 80 + x] = 0.3f * static_cast<float>(x) / 79;
  }
  const Overlay overlay = Render(picture, map, kRange, kAll);
  EXPECT_LE(overlay.Change(picture, 8, 30), 10) << "noise at a tenth of the range must look calm";
  EXPECT_GT(overlay.Change(picture, 79, 30), 60);
  EXPECT_GT(overlay.Change(picture, 60, 30), overlay.Change(picture, 8, 30));
  EXPECT_GT(overlay.At(79, 30, 0), overlay.At(79, 30, 1) + 40) << "the top of the scale is red";
  EXPECT_GT(overlay.At(79, 30, 0), overlay.At(79, 30, 2) + 40);
}

// The colour of a value does not depend on the other values of the map.
TEST(RenderOverlay, ColoursDependOnlyOnTheValue) {
  const Image picture = test::Pattern(80, 60);
  std::vector<float> calm(80 * 60, 0.0f);
  calm[30 * 80 + 40] = 0.1f;
  std::vector<float> loud = calm;
  loud[10 * 80 + 10] = 1.5f;
  const Overlay one = Render(picture, calm, kRange, kAll);
  const Overlay two = Render(picture, loud, kRange, kAll);
  for (int c = 0; c < 3; ++c) EXPECT_EQ(one.At(40, 30, c), two.At(40, 30, c));
  EXPECT_GT(two.Change(picture, 10, 10), 30) << "a value above the range has the colour of its top";
}

TEST(RenderOverlay, DarkensPixelsOutsideTheInspectedArea) {
  const Image picture{80, 60, std::vector<uint8_t>(3 * 80 * 60, 200)};
  const Box area = {10, 5, 50, 40};
  const Overlay overlay = Render(picture, std::vector<float>(80 * 60, 0.0f), kRange, area);
  for (int y = 0; y < 60; ++y) {
    for (int x = 0; x < 80; ++x) {
      const bool inside = x >= 10 && x < 60 && y >= 5 && y < 45;
      if (inside) {
        ASSERT_EQ(overlay.At(x, y, 1), 200) << x << ", " << y;
      } else {
        ASSERT_LT(overlay.At(x, y, 1), 100) << x << ", " << y;
      }
    }
  }
}

TEST(RenderOverlay, AMapOfAnotherSizeIsRefused) {
  EXPECT_THROW(RenderOverlay(test::Pattern(80, 60), std::vector<float>(256 * 256), kRange, kAll),
               InvalidInput);
}

}  // namespace
}  // namespace proad::model
