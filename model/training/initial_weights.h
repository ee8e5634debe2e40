// Initial weights from the principal directions of the training images.
//
// From small random weights, a decoder needs its first hundreds of steps to reconstruct an average
// patch. The projection of tokens onto their principal directions does this in closed form, and the
// network starts as that projection. model/README.md, "training", states the gain. Thread-safety:
// call it from the thread of `model` and `features`.
#pragma once

#include <cstdint>

#include "model/network/pro_ad.h"
#include "model/training/feature_cache.h"

namespace proad::model {

// Sets the weights of a new `model` from the images in `features`, which must not be empty:
//   bottleneck   Q_0 = m + U U^T (F - m), with U [C, C/4] the principal directions and m the mean
//                of F; exact, since GELU(x) - GELU(-x) = x. Training may change it freely.
//   prototypes   sines and cosines of the token's position, along U: neighbours start similar
//   others       normal, standard deviation 0.4 / sqrt(C); norms do not change
// Draws random numbers from LibTorch's generator.
void StartFromPrincipalDirections(ProAd& model, FeatureCache& features);

}  // namespace proad::model
