// What SqueezeNet 1.1 knows of each patch of a picture, of several kinds.
//
// Fine texture, what is unlike its surroundings, and what a place is part of: chosen by how well
// nearest neighbours among them tell defects (model/README.md, "making an encoder"). The square
// root tames the few strong responses of rectified units. Pure function; safe to call from any
// thread.
#pragma once

#include <torch/types.h>

#include "model/squeezenet.h"

namespace proad::model {

// Each float32 [B, patches, D], the patches row-major.
struct SqueezeNetFeatures {
  torch::Tensor texture;  // fire3, of length one in each patch; D = 128
  torch::Tensor fine;     // the same of the picture enlarged twice
  torch::Tensor
      contrast;          // fire5 of length one, less the mean of the 9 x 9 patches around; D = 256
  torch::Tensor coarse;  // fire5 of the picture at half its side
  torch::Tensor object;  // fire9; D = 512
};

// images: RGB in 0..1, float [B, 3, H, W], sides multiples of `patch`
SqueezeNetFeatures FeaturesOf(const SqueezeNet& network, const torch::Tensor& images, int patch);

}  // namespace proad::model
