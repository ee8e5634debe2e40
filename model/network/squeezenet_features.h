// Five kinds of SqueezeNet 1.1 features of each patch of an image.
//
// Texture at two sizes, object parts, and objects; chosen by image and pixel AUROC
// (model/weights/HISTORY.md). All are square roots, which reduces the weight of the few strong
// responses of rectified units. Pure function; safe to call from any thread.
#pragma once

#include <torch/types.h>

#include "model/network/squeezenet.h"

namespace proad::model {

// Each float32 [B, patches, D], patches row-major. The first three are averages of the patch and
// the maximum of the 3 x 3 patches around it, so that a small structure on the border of two
// patches counts in both; they have length one in each patch.
struct SqueezeNetFeatures {
  torch::Tensor texture;  // fire3; D = 128
  torch::Tensor fine;     // fire3 of the image at twice its size
  torch::Tensor parts;    // fire5 of the image at twice its size; D = 256
  torch::Tensor coarse;   // fire5 of the image at half its size
  torch::Tensor object;   // fire9; D = 512
};

// images: RGB in 0..1, float [B, 3, H, W]; the sides are multiples of `patch`
SqueezeNetFeatures FeaturesOf(const SqueezeNet& network, const torch::Tensor& images, int patch);

}  // namespace proad::model
