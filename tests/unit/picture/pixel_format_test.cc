// Every row of the table of pixel formats against samples that the test lays out in memory itself,
// bit by bit as GenICam's Pixel Format Naming Convention describes each format.
#include "model/picture/pixel_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "model/picture/frame.h"

namespace proad::model {
namespace {

using Bytes = std::vector<uint8_t>;

// The memory of a format: the components of each `pixels` pixels in ascending bits.
struct Layout {
  PixelFormat format;
  const char* name;
  int bits;                // used by each component
  int step;                // bits from one component to the next
  std::string components;  // of `pixels` pixels; Bayer: those of rows 0 and 1
  int pixels = 1;
};

const std::vector<Layout>& Layouts() {
  using enum PixelFormat;
  static const std::vector<Layout> layouts = {
      {kMono8, "Mono8", 8, 8, "Y"},
      {kMono10, "Mono10", 10, 16, "Y"},
      {kMono12, "Mono12", 12, 16, "Y"},
      {kMono10p, "Mono10p", 10, 10, "Y"},
      {kMono12p, "Mono12p", 12, 12, "Y"},
      {kMono16, "Mono16", 16, 16, "Y"},
      {kRgb8, "RGB8", 8, 8, "RGB"},
      {kBgr8, "BGR8", 8, 8, "BGR"},
      {kBayerRg8, "BayerRG8", 8, 8, "RGGB"},
      {kBayerGb8, "BayerGB8", 8, 8, "GBRG"},
      {kBayerGr8, "BayerGR8", 8, 8, "GRBG"},
      {kBayerBg8, "BayerBG8", 8, 8, "BGGR"},
      {kBayerRg10, "BayerRG10", 10, 16, "RGGB"},
      {kBayerGb10, "BayerGB10", 10, 16, "GBRG"},
      {kBayerGr10, "BayerGR10", 10, 16, "GRBG"},
      {kBayerBg10, "BayerBG10", 10, 16, "BGGR"},
      {kBayerRg12, "BayerRG12", 12, 16, "RGGB"},
      {kBayerGb12, "BayerGB12", 12, 16, "GBRG"},
      {kBayerGr12, "BayerGR12", 12, 16, "GRBG"},
      {kBayerBg12, "BayerBG12", 12, 16, "BGGR"},
      {kBayerRg16, "BayerRG16", 16, 16, "RGGB"},
      {kBayerGb16, "BayerGB16", 16, 16, "GBRG"},
      {kBayerGr16, "BayerGR16", 16, 16, "GRBG"},
      {kBayerBg16, "BayerBG16", 16, 16, "BGGR"},
      {kYuv422, "YUV422_8", 8, 8, "YUYV", 2},
      {kYuv422Uyvy, "YUV422_8_UYVY", 8, 8, "UYVY", 2},
  };
  return layouts;
}

bool IsBayer(const Layout& layout) { return std::string(layout.name).starts_with("Bayer"); }

// Components of a row, row by row.
int ComponentsPerRow(const Layout& layout, int width) {
  if (IsBayer(layout)) return width;
  return width / layout.pixels * static_cast<int>(layout.components.size());
}

// Writes the samples bit by bit. Each row begins with a whole byte; padding is filled with ones.
Bytes Pack(const Layout& layout, const std::vector<int>& samples, int width, int height,
           int stride) {
  Bytes data(size_t(stride) * height, 0xFF);
  const int count = ComponentsPerRow(layout, width);
  for (int y = 0; y < height; ++y) {
    for (int i = 0; i < count; ++i) {
      for (int bit = 0; bit < layout.step; ++bit) {
        const int at = i * layout.step + bit;
        const int value = bit < layout.bits ? samples[y * count + i] >> bit & 1 : 0;
        uint8_t& byte = data[size_t(y) * stride + at / 8];
        byte = static_cast<uint8_t>((byte & ~(1 << at % 8)) | value << at % 8);
      }
    }
  }
  return data;
}

uint8_t To8Bits(double sample, int bits) {
  return static_cast<uint8_t>(std::lround(sample * 255 / ((1 << bits) - 1)));
}

using Colour = std::array<uint8_t, 3>;

Colour FromYuv(double y, double u, double v) {
  const auto clamp = [](double value) {
    return static_cast<uint8_t>(std::clamp(std::lround(value), 0L, 255L));
  };
  return {clamp(y + 1.402 * (v - 128)), clamp(y - 0.344136 * (u - 128) - 0.714136 * (v - 128)),
          clamp(y + 1.772 * (u - 128))};
}

// The colour of a pixel inside a Bayer pattern: each channel is the mean of its nearest samples.
Colour Interpolate(const Layout& layout, const std::vector<int>& samples, int width, int x, int y) {
  Colour colour = {};
  for (int c = 0; c < 3; ++c) {
    const auto is_channel = [&](int i, int j) {
      return layout.components[j % 2 * 2 + i % 2] == "RGB"[c];
    };
    int nearest = 3;
    for (int j = -1; j <= 1; ++j) {
      for (int i = -1; i <= 1; ++i) {
        if (is_channel(x + i, y + j)) nearest = std::min(nearest, i * i + j * j);
      }
    }
    int sum = 0;
    int count = 0;
    for (int j = -1; j <= 1; ++j) {
      for (int i = -1; i <= 1; ++i) {
        if (i * i + j * j != nearest || !is_channel(x + i, y + j)) continue;
        sum += samples[(y + j) * width + x + i];
        ++count;
      }
    }
    colour[c] = To8Bits((sum + count / 2) / count, layout.bits);
  }
  return colour;
}

Colour Expected(const Layout& layout, const std::vector<int>& samples, int width, int height, int x,
                int y) {
  if (IsBayer(layout)) {  // pixels at the border are those beside them
    return Interpolate(layout, samples, width, std::clamp(x, 1, width - 2),
                       std::clamp(y, 1, height - 2));
  }
  const int count = ComponentsPerRow(layout, width);
  const auto at = [&](char component, int nth) {
    size_t place = layout.components.find(component);
    if (nth > 0) place = layout.components.find(component, place + 1);
    return samples[y * count + x / layout.pixels * layout.components.size() + place];
  };
  if (layout.pixels == 2) return FromYuv(at('Y', x % 2), at('U', 0), at('V', 0));
  if (layout.components == "Y") {
    const uint8_t grey = To8Bits(at('Y', 0), layout.bits);
    return {grey, grey, grey};
  }
  return {To8Bits(at('R', 0), 8), To8Bits(at('G', 0), 8), To8Bits(at('B', 0), 8)};
}

void CheckFrame(const Layout& layout, const std::vector<int>& samples, int width, int height,
                int stride) {
  SCOPED_TRACE(std::string(layout.name) + " " + std::to_string(width) + " x " +
               std::to_string(height) + " stride " + std::to_string(stride));
  const Bytes data = Pack(layout, samples, width, height, stride);
  const Image image = UnpackFrame(
      {.width = width, .height = height, .stride = stride, .format = layout.format, .data = data});
  const int tolerance = layout.pixels == 2 ? 1 : 0;  // sums that end in one half
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const Colour expected = Expected(layout, samples, width, height, x, y);
      for (int c = 0; c < 3; ++c) {
        const int actual = image.pixels[3 * (y * width + x) + c];
        if (std::abs(actual - expected[c]) <= tolerance) continue;
        FAIL() << actual << " instead of " << int{expected[c]} << " in channel " << c << ", column "
               << x << ", row " << y;
      }
    }
  }
}

TEST(PixelFormats, EveryFormatIsUnpackedAsPfncDescribesIt) {
  std::mt19937 random(7);
  for (const Layout& layout : Layouts()) {
    for (const int width : {3, 4, 6, 7, 38}) {
      if (width % layout.pixels != 0) continue;
      for (const int height : {3, 6}) {
        std::vector<int> samples(size_t(ComponentsPerRow(layout, width)) * height);
        for (int& sample : samples) sample = random() & ((1 << layout.bits) - 1);
        const int row = (ComponentsPerRow(layout, width) * layout.step + 7) / 8;
        ASSERT_EQ(RowBytes(layout.format, width), row) << layout.name;
        CheckFrame(layout, samples, width, height, row);
        CheckFrame(layout, samples, width, height, row + 5);
      }
    }
  }
}

TEST(PixelFormats, EveryGreyLevelOfEveryFormatUsesTheFullRange) {
  for (const Layout& layout : Layouts()) {
    const int white = (1 << layout.bits) - 1;
    for (const int level : {0, white / 3, white / 2, white}) {
      const int width = 4;
      std::vector<int> samples(size_t(ComponentsPerRow(layout, width)) * 4, level);
      for (size_t i = 0; i < samples.size() && layout.pixels == 2; ++i) {
        if (layout.components[i % 4] != 'Y') samples[i] = 128;
      }
      const int row = static_cast<int>(RowBytes(layout.format, width));
      const Bytes data = Pack(layout, samples, width, 4, row);
      const Image image =
          UnpackFrame({.width = width, .height = 4, .format = layout.format, .data = data});
      EXPECT_EQ(image.pixels, Bytes(48, To8Bits(level, layout.bits)))
          << layout.name << ", level " << level;
    }
  }
}

// Bytes from the figures of the convention.
TEST(PixelFormats, PackedSamplesBeginWithTheLowestBits) {
  const Bytes twelve = {0x21, 0x43, 0x65};  // 0x321, 0x654
  EXPECT_EQ(UnpackFrame({.width = 2, .height = 1, .format = PixelFormat::kMono12p, .data = twelve})
                .pixels,
            (Bytes{50, 50, 50, 101, 101, 101}));
  // 0x3FF, 0x000, 0x155, 0x2AA
  const Bytes ten = {0xFF, 0x03, 0x50, 0x95, 0xAA};
  EXPECT_EQ(
      UnpackFrame({.width = 4, .height = 1, .format = PixelFormat::kMono10p, .data = ten}).pixels,
      (Bytes{255, 255, 255, 0, 0, 0, 85, 85, 85, 170, 170, 170}));
}

TEST(PixelFormats, TheTableHasEveryFormatOnce) {
  ASSERT_EQ(PixelFormats().size(), Layouts().size());
  for (const Layout& layout : Layouts()) {
    EXPECT_STREQ(TraitsOf(layout.format).name, layout.name);
    EXPECT_EQ(TraitsOf(layout.format).bits_per_sample, layout.bits);
  }
}

}  // namespace
}  // namespace proad::model
