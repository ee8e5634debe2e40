#include "model/picture/random_view.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <stdexcept>
#include <vector>

namespace proad::model {
namespace {

using Colour = std::array<uint8_t, 3>;

// Each photograph has a single colour of its own.
Image Plain(int64_t number) {
  Image image{.width = 60, .height = 40};
  for (int i = 0; i < image.width * image.height; ++i) {
    for (const int channel : {50, 100, 150}) {
      image.pixels.push_back(static_cast<uint8_t>(channel + 10 * number));
    }
  }
  return image;
}

// Every pixel differs from its neighbours.
Image Detailed(int64_t) {
  Image image{.width = 90, .height = 70};
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      for (const int value : {37 * x + 11 * y, 5 * x + 83 * y, 61 * x ^ 29 * y}) {
        image.pixels.push_back(static_cast<uint8_t>(value % 256));
      }
    }
  }
  return image;
}

ViewOptions AsItIs(int side) {
  ViewOptions options;
  options.side = side;
  options.grey = options.relight = options.swap_channels = 0;
  return options;
}

std::set<Colour> Colours(const Image& image) {
  std::set<Colour> colours;
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    colours.insert({image.pixels[i], image.pixels[i + 1], image.pixels[i + 2]});
  }
  return colours;
}

TEST(RandomViewTest, DependsOnlyOnItsSeed) {
  const ViewOptions options{.side = 56};
  EXPECT_EQ(RandomView(Detailed, 3, options, 7).pixels, RandomView(Detailed, 3, options, 7).pixels);
  EXPECT_NE(RandomView(Detailed, 3, options, 7).pixels, RandomView(Detailed, 3, options, 8).pixels);
}

TEST(RandomViewTest, IsFilledWithTilesOfPhotographs) {
  ViewOptions options = AsItIs(50);  // not a multiple of the tiles' number
  options.tiles = {3};
  std::set<Colour> seen;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Image view = RandomView(Plain, 5, options, seed);
    ASSERT_EQ(view.width, 50);
    ASSERT_EQ(view.height, 50);
    ASSERT_EQ(view.pixels.size(), size_t{50 * 50 * 3});
    const auto colours = Colours(view);
    EXPECT_LE(colours.size(), 5u);
    seen.insert(colours.begin(), colours.end());
  }
  std::set<Colour> all;
  for (int64_t number = 0; number < 5; ++number) all.merge(Colours(Plain(number)));
  EXPECT_EQ(seen, all) << "all photographs appear, and no other colour";
}

TEST(RandomViewTest, RecolouringKeepsGreyAndStaysInRange) {
  ViewOptions options{.side = 30, .tiles = {1}};
  options.grey = 1;
  options.relight = 1;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (const auto& colour : Colours(RandomView(Detailed, 1, options, seed))) {
      EXPECT_EQ(colour[0], colour[1]);
      EXPECT_EQ(colour[1], colour[2]);
    }
  }
}

TEST(RandomViewTest, SwappingChannelsOnlySwapsThem) {
  ViewOptions options = AsItIs(20);
  options.tiles = {1};
  options.swap_channels = 1;
  std::set<Colour> orders;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    for (Colour colour : Colours(RandomView(Plain, 1, options, seed))) {
      orders.insert(colour);
      std::sort(colour.begin(), colour.end());
      EXPECT_EQ(colour, (Colour{50, 100, 150}));
    }
  }
  EXPECT_EQ(orders.size(), 6u) << "all orders appear";
}

TEST(RandomViewTest, RotatesAndMirrorsInEveryWay) {
  // One corner is white; it must appear in each corner.
  const auto marked = [](int64_t) {
    Image image{.width = 20, .height = 20, .pixels = std::vector<uint8_t>(20 * 20 * 3)};
    for (int y = 0; y < 10; ++y) std::fill_n(image.pixels.begin() + y * 60, 30, uint8_t{255});
    return image;
  };
  ViewOptions options = AsItIs(20);
  options.tiles = {1};
  options.smallest_crop = 1;
  std::set<size_t> corners;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const Image view = RandomView(marked, 1, options, seed);
    for (const size_t corner : {0, 19, 19 * 20, 20 * 20 - 1}) {
      if (view.pixels[3 * corner] == 255) corners.insert(corner);
    }
  }
  EXPECT_EQ(corners.size(), 4u);
}

TEST(RandomViewTest, PassesOnErrorsOfTheReader) {
  const auto broken = [](int64_t) -> Image { throw std::runtime_error("broken"); };
  EXPECT_THROW(RandomView(broken, 1, {}, 1), std::runtime_error);
}

}  // namespace
}  // namespace proad::model
