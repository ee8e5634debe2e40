#include "model/picture/random_view.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <random>
#include <utility>

#include "model/picture/resize.h"

namespace proad::model {
namespace {

// Random numbers that are equal on every platform; the distributions of standard libraries differ.
class Random {
 public:
  explicit Random(uint64_t seed) : random_(seed) {}

  // In [0, 1).
  double Uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }
  double Uniform(double low, double high) { return low + (high - low) * Uniform(); }
  // 0 .. count - 1.
  int64_t Below(int64_t count) {
    return static_cast<int64_t>(random_() % static_cast<uint64_t>(count));
  }
  bool Chance(double share) { return Uniform() < share; }

 private:
  std::mt19937_64 random_;
};

uint8_t* PixelOf(Image& image, int x, int y) {
  return &image.pixels[3 * (static_cast<size_t>(y) * image.width + x)];
}
const uint8_t* PixelOf(const Image& image, int x, int y) {
  return &image.pixels[3 * (static_cast<size_t>(y) * image.width + x)];
}

Image Blank(int width, int height) {
  return {width, height, std::vector<uint8_t>(size_t{3} * width * height)};
}

Image Cut(const Image& image, const Box& box) {
  Image cut = Blank(box.width, box.height);
  for (int y = 0; y < box.height; ++y) {
    std::copy_n(PixelOf(image, box.x, box.y + y), 3 * box.width, PixelOf(cut, 0, y));
  }
  return cut;
}

// A random square of a photograph, resized to `side` pixels.
Image RandomCrop(const Image& photograph, int side, const ViewOptions& options, Random& dice) {
  const int shorter = std::min(photograph.width, photograph.height);
  const double enlarged = static_cast<double>(side) / options.most_enlarged / shorter;
  const double smallest = std::min(1.0, std::max(options.smallest_crop, enlarged));
  const int cut = std::max(1, static_cast<int>(shorter * dice.Uniform(smallest, 1.0)));
  const Box box = {static_cast<int>(dice.Below(photograph.width - cut + 1)),
                   static_cast<int>(dice.Below(photograph.height - cut + 1)), cut, cut};
  return ResizeBilinear(Cut(photograph, box), side, side);
}

// Rotates by quarter turns and mirrors.
Image Turned(const Image& square, int quarters, bool mirrored) {
  const int last = square.width - 1;
  Image turned = Blank(square.width, square.width);
  for (int y = 0; y <= last; ++y) {
    for (int x = 0; x <= last; ++x) {
      int from_x = mirrored ? last - x : x;
      int from_y = y;
      for (int quarter = 0; quarter < quarters; ++quarter) {
        from_x = std::exchange(from_y, last - from_x);
      }
      std::copy_n(PixelOf(square, from_x, from_y), 3, PixelOf(turned, x, y));
    }
  }
  return turned;
}

// Changes grey, contrast, brightness and channel order of all pixels.
void Recolour(Image& image, const ViewOptions& options, Random& dice) {
  const bool grey = dice.Chance(options.grey);
  const bool relight = dice.Chance(options.relight);
  const double contrast = relight ? dice.Uniform(0.6, 1.4) : 1.0;
  const double brightness = relight ? dice.Uniform(-0.2, 0.2) : 0.0;
  std::array<size_t, 3> channels = {0, 1, 2};
  if (dice.Chance(options.swap_channels)) {
    std::swap(channels[0], channels[static_cast<size_t>(dice.Below(3))]);
    std::swap(channels[1], channels[1 + static_cast<size_t>(dice.Below(2))]);
  }
  std::array<uint8_t, 256> light;
  for (int value = 0; value < 256; ++value) {
    const double lit = ((value / 255.0 - 0.5) * contrast + 0.5 + brightness) * 255.0;
    light[static_cast<size_t>(value)] =
        static_cast<uint8_t>(std::lround(std::clamp(lit, 0.0, 255.0)));
  }
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    std::array<uint8_t, 3> pixel = {image.pixels[i + channels[0]], image.pixels[i + channels[1]],
                                    image.pixels[i + channels[2]]};
    if (grey) pixel.fill(static_cast<uint8_t>((pixel[0] + pixel[1] + pixel[2] + 1) / 3));
    for (size_t c = 0; c < 3; ++c) image.pixels[i + c] = light[pixel[c]];
  }
}

}  // namespace

Image RandomView(const PhotographReader& read, int64_t count, const ViewOptions& options,
                 uint64_t seed) {
  Random dice(seed);
  const int64_t choices = static_cast<int64_t>(options.tiles.size());
  const int tiles = options.tiles[static_cast<size_t>(dice.Below(choices))];
  Image view = Blank(options.side, options.side);
  for (int row = 0; row < tiles; ++row) {
    for (int column = 0; column < tiles; ++column) {
      const int top = row * options.side / tiles;
      const int left = column * options.side / tiles;
      const int height = (row + 1) * options.side / tiles - top;
      const int width = (column + 1) * options.side / tiles - left;
      const Image photograph = read(dice.Below(count));
      Image tile = RandomCrop(photograph, std::max(width, height), options, dice);
      const int quarters = static_cast<int>(dice.Below(4));
      tile = Turned(tile, quarters, dice.Chance(0.5));
      Recolour(tile, options, dice);
      for (int y = 0; y < height; ++y) {
        std::copy_n(PixelOf(tile, 0, y), 3 * width, PixelOf(view, left, top + y));
      }
    }
  }
  return view;
}

}  // namespace proad::model
