#include "model/picture/preprocess.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "model/files/error.h"
#include "model/picture/mask.h"
#include "model/picture/resize.h"
#include "tests/support/patterns.h"

namespace proad::model {
namespace {

using ::proad::test::Noise;
using ::proad::test::Pattern;
using ::testing::Each;
using ::testing::HasSubstr;

Preprocessing Sizes(int resize_width, int resize_height, int crop_width, int crop_height) {
  return {.resize_height = resize_height,
          .resize_width = resize_width,
          .crop_height = crop_height,
          .crop_width = crop_width};
}

const Preprocessing kWhole = Sizes(392, 392, 392, 392);
const Preprocessing kPaper = Sizes(448, 448, 392, 392);

std::string RefusalOf(const Preprocessing& preprocessing) {
  try {
    Prepare(Pattern(20, 20), preprocessing);
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.field(), "preprocessing");
    return error.what();
  }
  return "accepted";
}

// ---------------------------------------------------------------- resize and crop;
// pillow_parity.py has the rest

TEST(ResizeBilinear, CopiesAnImageOfTheSameSize) {
  const Image image = Noise(31, 17);
  EXPECT_EQ(ResizeBilinear(image, 31, 17).pixels, image.pixels);
}

TEST(ResizeBilinear, KeepsASingleColour) {
  for (const uint8_t value : {0, 1, 127, 254, 255}) {
    const Image image{60, 90, std::vector<uint8_t>(3 * 60 * 90, value)};
    EXPECT_THAT(ResizeBilinear(image, 37, 41).pixels, Each(value));
    EXPECT_THAT(ResizeBilinear(image, 200, 10).pixels, Each(value));
  }
}

// Every pixel contributes, so fine black and white lines become grey without moire.
TEST(ResizeBilinear, AntialiasesFineLines) {
  Image lines{400, 400, {}};
  for (int i = 0; i < 400 * 400; ++i) lines.pixels.insert(lines.pixels.end(), 3, i % 2 * 255);
  for (const uint8_t value : ResizeBilinear(lines, 50, 50).pixels) {
    EXPECT_NEAR(value, 127.5, 6);  // at the edge half the filter is missing
  }
}

TEST(Prepare, CropsTheMiddleOfTheResizedImage) {
  const Image image = Noise(120, 90);
  const Image resized = ResizeBilinear(image, 64, 60);
  const PreparedImage prepared = Prepare(image, Sizes(64, 60, 40, 50));
  ASSERT_EQ(prepared.width, 40);
  ASSERT_EQ(prepared.height, 50);
  for (int y = 0; y < 50; ++y) {
    for (int x = 0; x < 3 * 40; ++x) {
      ASSERT_EQ(prepared.pixels[y * 120 + x], resized.pixels[(y + 5) * 192 + x + 36]);
    }
  }
}

// The begin of a crop that cannot be centred: Python and torchvision round halves to even.
TEST(Prepare, CropsOddMarginsLikeTorchvision) {
  struct Case {
    int size;
    int crop;
    int offset;
  };
  for (const Case& c : {Case{10, 9, 0}, {10, 7, 2}, {10, 5, 2}, {10, 3, 4}, {10, 10, 0}}) {
    const Image image = Noise(c.size, c.size);
    const PreparedImage prepared = Prepare(image, Sizes(c.size, c.size, c.crop, c.crop));
    EXPECT_EQ(prepared.pixels[0], image.pixels[3 * (c.offset * c.size + c.offset)])
        << c.size << " " << c.crop;
    EXPECT_EQ(InspectedArea(c.size, c.size, Sizes(c.size, c.size, c.crop, c.crop)),
              (Box{c.offset, c.offset, c.crop, c.crop}));
  }
}

TEST(Prepare, NamesInvalidParameters) {
  EXPECT_THAT(RefusalOf(Sizes(392, 392, 400, 392)),
              HasSubstr("crop_width 400 and resize_width 392"));
  EXPECT_THAT(RefusalOf(Sizes(392, 392, 392, 393)),
              HasSubstr("crop_height 393 and resize_height 392"));
  EXPECT_THAT(RefusalOf(Sizes(0, 392, 0, 392)), HasSubstr("1 <= crop <= resize"));
  EXPECT_THAT(RefusalOf(Sizes(392, 392, 0, 392)), HasSubstr("crop_width 0"));
  EXPECT_EQ(RefusalOf(Sizes(392, 392, 392, 392)), "accepted");
}

TEST(Prepare, RefusesAnEmptyImage) {
  EXPECT_THROW(Prepare(Image{}, kWhole), InvalidInput);
  EXPECT_THROW(Prepare(Image{4, 4, std::vector<uint8_t>(47)}, kWhole), InvalidInput);
}

// ---------------------------------------------------------------- what is inspected

TEST(InspectedArea, IsTheWholeImageWithoutCrop) {
  EXPECT_EQ(InspectedArea(1920, 1080, kWhole), (Box{0, 0, 1920, 1080}));
  EXPECT_EQ(InspectedArea(1, 1, kWhole), (Box{0, 0, 1, 1}));
}

TEST(InspectedArea, IsTheCropRoundedOutwards) {
  EXPECT_EQ(InspectedArea(448, 896, kPaper), (Box{28, 56, 392, 784}));
  // 28 / 448 of 1000 is 62.5, 420 / 448 of 1000 is 937.5.
  EXPECT_EQ(InspectedArea(1000, 448, kPaper), (Box{62, 28, 876, 392}));
  EXPECT_EQ(InspectedArea(1, 1, kPaper), (Box{0, 0, 1, 1}));
}

// ---------------------------------------------------------------- maps back to the picture

struct Geometry {
  std::string name;
  int width;
  int height;
  Preprocessing preprocessing;
};

void PrintTo(const Geometry& geometry, std::ostream* out) { *out << geometry.name; }

class MapGeometry : public testing::TestWithParam<Geometry> {};

// Prepare converts an image with a bright square. A map of the brightness of the result, brought
// back by MapToOriginal, must have its peak on the square.
TEST_P(MapGeometry, ThePeakOfADefectLiesOnTheDefect) {
  const auto& [name, width, height, preprocessing] = GetParam();
  const Box area = InspectedArea(width, height, preprocessing);
  const int side = std::max(6, std::min(width, height) / 24);
  for (const double along_x : {0.08, 0.37, 0.9}) {
    for (const double along_y : {0.1, 0.55, 0.88}) {
      const int left = area.x + static_cast<int>(along_x * (area.width - side));
      const int top = area.y + static_cast<int>(along_y * (area.height - side));
      Image image{width, height, std::vector<uint8_t>(size_t{3} * width * height, 10)};
      for (int y = top; y < top + side; ++y) {
        std::fill_n(&image.pixels[3 * (size_t(y) * width + left)], 3 * side, 250);
      }
      const PreparedImage seen = Prepare(image, preprocessing);
      std::vector<float> map;
      const Image reduced = ResizeBilinear({seen.width, seen.height, seen.pixels}, 256, 256);
      for (size_t i = 0; i < reduced.pixels.size(); i += 3) map.push_back(reduced.pixels[i]);

      const std::vector<float> back = MapToOriginal(map, 256, 256, width, height, preprocessing);
      ASSERT_EQ(back.size(), size_t(width) * height);
      // Centre of mass of the high values.
      double mass = 0, x_sum = 0, y_sum = 0;
      for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
          const double weight = std::max(0.0f, back[size_t(y) * width + x] - 10.0f);
          mass += weight;
          x_sum += weight * (x + 0.5);
          y_sum += weight * (y + 0.5);
        }
      }
      ASSERT_GT(mass, 0);
      const double cell = std::max(area.width, area.height) / 256.0;  // a map value's own size
      EXPECT_NEAR(x_sum / mass, left + side / 2.0, 0.1 * cell + 0.05);
      EXPECT_NEAR(y_sum / mass, top + side / 2.0, 0.1 * cell + 0.05);
      const auto peak = std::max_element(back.begin(), back.end()) - back.begin();
      EXPECT_GE(peak % width, left);
      EXPECT_LT(peak % width, left + side);
      EXPECT_GE(peak / width, top);
      EXPECT_LT(peak / width, top + side);
    }
  }
}

TEST_P(MapGeometry, IsZeroOutsideTheInspectedArea) {
  const auto& [name, width, height, preprocessing] = GetParam();
  const Box area = InspectedArea(width, height, preprocessing);
  const std::vector<float> map(256 * 256, 0.5f);
  const std::vector<float> back = MapToOriginal(map, 256, 256, width, height, preprocessing);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const bool inside =
          x >= area.x && x < area.x + area.width && y >= area.y && y < area.y + area.height;
      ASSERT_EQ(back[size_t(y) * width + x], inside ? 0.5f : 0.0f) << x << ", " << y;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Pictures, MapGeometry,
                         testing::Values(Geometry{"SquareWhole", 600, 600, kWhole},
                                         Geometry{"SquareCropped", 600, 600, kPaper},
                                         Geometry{"WideWhole", 900, 400, kWhole},
                                         Geometry{"WideCropped", 900, 400, kPaper},
                                         Geometry{"HighWhole", 301, 777, kWhole},
                                         Geometry{"HighCropped", 301, 777, kPaper},
                                         Geometry{"SmallCropped", 200, 160, kPaper},
                                         Geometry{"OddCrop", 500, 640, Sizes(401, 403, 350, 280)}),
                         [](const auto& parameter) { return parameter.param.name; });

// An uncropped image of the size of the map: every value keeps its place.
TEST(MapToOriginal, SameGridIsTheIdentity) {
  std::vector<float> map(12 * 9);
  for (size_t i = 0; i < map.size(); ++i) map[i] = std::sin(static_cast<float>(i));
  EXPECT_EQ(MapToOriginal(map, 12, 9, 12, 9, Sizes(100, 50, 100, 50)), map);
}

// Twice the size: values lie at quarters between the centres; the edges keep theirs.
TEST(MapToOriginal, InterpolatesBetweenCentresOfPixels) {
  const std::vector<float> map = {0, 4};
  const std::vector<float> back = MapToOriginal(map, 2, 1, 4, 1, Sizes(7, 7, 7, 7));
  EXPECT_THAT(back, testing::Pointwise(testing::FloatEq(), {0.0f, 1.0f, 3.0f, 4.0f}));
}

TEST(MapToOriginal, StaysInTheRangeOfTheMap) {
  std::vector<float> map(64 * 64);
  for (size_t i = 0; i < map.size(); ++i) map[i] = static_cast<float>(i * 7919 % 1000) / 1000;
  for (const float value : MapToOriginal(map, 64, 64, 333, 217, kPaper)) {
    ASSERT_GE(value, 0.0f);
    ASSERT_LE(value, 0.999f);
  }
}

TEST(MapToOriginal, AMapOfOneValueOrOnePixel) {
  EXPECT_THAT(MapToOriginal(std::vector<float>{2.0f}, 1, 1, 5, 3, kWhole), Each(2.0f));
  EXPECT_EQ(MapToOriginal(std::vector<float>(4, 2.0f), 2, 2, 1, 1, kWhole),
            (std::vector<float>{2.0f}));
}

TEST(MapToOriginal, AMapOfAnotherSizeIsRefused) {
  try {
    MapToOriginal(std::vector<float>(10), 4, 3, 20, 20, kWhole);
    FAIL() << "accepted";
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.field(), "map");
    EXPECT_EQ(error.reason(), "MAP_SIZE_MISMATCH");
    EXPECT_THAT(error.what(), HasSubstr("4 x 3 with 10 values"));
  }
}

// Each sample is the mask pixel that contains its centre.
TEST_P(MapGeometry, MaskSamplesAreThePixelsAtTheirCentres) {
  const auto& [name, width, height, preprocessing] = GetParam();
  Mask mask{.width = width, .height = height};
  mask.pixels.resize(size_t(width) * height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      if ((x / 7 + y / 5) % 3 == 0) mask.pixels[size_t(y) * width + x] = 255;
    }
  }
  const std::vector<uint8_t> on_map = MaskToMap(mask, 256, 200, preprocessing);
  ASSERT_EQ(on_map.size(), 256u * 200);
  // The centres of the crop and of the image are equal up to half a pixel of the resized image.
  const auto position = [](int i, int map, int crop, int resize, int size) {
    const double offset = std::nearbyint((resize - crop) / 2.0);
    return (offset + (i + 0.5) / map * crop) / resize * size;
  };
  for (int y = 0; y < 200; ++y) {
    const double row =
        position(y, 200, preprocessing.crop_height, preprocessing.resize_height, height);
    for (int x = 0; x < 256; ++x) {
      const double column =
          position(x, 256, preprocessing.crop_width, preprocessing.resize_width, width);
      // If the centre lies on the border of two pixels, either is right.
      if (std::abs(row - std::round(row)) < 1e-9 || std::abs(column - std::round(column)) < 1e-9)
        continue;
      const bool defect = (static_cast<int>(column) / 7 + static_cast<int>(row) / 5) % 3 == 0;
      ASSERT_EQ(on_map[size_t(y) * 256 + x], defect ? 255 : 0) << x << ", " << y;
    }
  }
}

TEST(MaskToMap, TakesThePixelsAtTheCentres) {
  const Mask mask{.width = 4, .height = 1, .pixels = {0, 255, 255, 255}};
  EXPECT_EQ(MaskToMap(mask, 4, 1, Sizes(8, 8, 8, 8)), (std::vector<uint8_t>{0, 255, 255, 255}));
  EXPECT_EQ(MaskToMap(mask, 1, 2, Sizes(8, 8, 8, 8)), (std::vector<uint8_t>{255, 255}));
}

}  // namespace
}  // namespace proad::model
