// Makes the training images of distillation: square mosaics of random pieces of photographs.
//
// A view is a mosaic of k x k tiles. Each tile is a random square of a random photograph, rotated,
// mirrored and recoloured. So a view has as many patches as an inspected image, and content of
// every scale from a whole photograph to single pixels.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "model/picture/image.h"

namespace proad::model {

struct ViewOptions {
  int side = 392;                               // pixels
  std::vector<int> tiles = {1, 2, 2, 3, 3, 4};  // k, one of these at random
  double smallest_crop = 0.25;                  // share of the shorter side of the photograph
  int most_enlarged = 3;                        // times; limits how small a crop is

  // Probabilities.
  double grey = 0.25;
  double relight = 0.5;  // contrast times 0.6 to 1.4, brightness -0.2 to 0.2
  double swap_channels = 0.2;

  bool operator==(const ViewOptions&) const = default;
};

// Reads photograph `number`.
using PhotographReader = std::function<Image(int64_t number)>;

// The view of photographs 0 .. count - 1 for this seed: equal arguments give equal views. Throws
// the exceptions of `read`.
Image RandomView(const PhotographReader& read, int64_t count, const ViewOptions& options,
                 uint64_t seed);

}  // namespace proad::model
