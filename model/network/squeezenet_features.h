// What SqueezeNet 1.1 knows of each patch of a picture, of several kinds.
//
// Texture at two sizes, the parts that it makes up, and what a place is part of: chosen by how well
// defects are told by them (model/README.md, "making an encoder"). The square root tames the few
// strong responses of rectified units. Pure function; safe to call from any thread.
#pragma once

#include <torch/types.h>

#include "model/network/squeezenet.h"

namespace proad::model {

// Each float32 [B, patches, D], the patches row-major. The first three are of length one in each
// patch, and halfway between the patch's own and the strongest of the 3 x 3 around it: something
// small that lies across an edge of patches counts in both.
struct SqueezeNetFeatures {
  torch::Tensor texture;  // fire3; D = 128
  torch::Tensor fine;     // the same of the picture enlarged twice
  torch::Tensor parts;    // fire5 of the picture enlarged twice; D = 256
  torch::Tensor coarse;   // fire5 of the picture at half its side
  torch::Tensor object;   // fire9; D = 512
};

// images: RGB in 0..1, float [B, 3, H, W], sides multiples of `patch`
SqueezeNetFeatures FeaturesOf(const SqueezeNet& network, const torch::Tensor& images, int patch);

}  // namespace proad::model
