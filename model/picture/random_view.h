// What a student encoder looks at while it learns: squares put together from random pieces of
// photographs.
//
// A view is a mosaic of k x k tiles, each a random square of a random photograph, turned, mirrored
// and recoloured. So every view has as many patches as an inspected picture, and content of every
// scale from the whole photograph to its single pixels.
//
// No LibTorch. Functions of their arguments; safe to call from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "model/picture/image.h"

namespace proad::model {

struct ViewOptions {
  int side = 392;                               // pixels
  std::vector<int> tiles = {1, 2, 2, 3, 3, 4};  // k, each as likely as it is listed
  double smallest_crop = 0.25;                  // of the shorter side of the photograph
  int most_enlarged = 3;                        // times; a crop is larger where it must be

  // How likely.
  double grey = 0.25;
  double relight = 0.5;  // contrast times 0.6 to 1.4, brightness -0.2 to 0.2
  double swap_channels = 0.2;

  bool operator==(const ViewOptions&) const = default;
};

// A photograph by its number.
using PhotographReader = std::function<Image(int64_t number)>;

// The view that `seed` stands for, of photographs 0 .. count - 1. Throws what `read` throws.
Image RandomView(const PhotographReader& read, int64_t count, const ViewOptions& options,
                 uint64_t seed);

}  // namespace proad::model
