// Where training starts from when the pictures have a say.
//
// From small random weights a decoder spends its first hundreds of steps on learning what a patch
// of a good part is at all. The principal directions of the training pictures' tokens say most of
// that in closed form: the network starts as the projection onto them, and trains what no
// projection can do. model/README.md, "training", has what it gains. One thread.
#pragma once

#include <cstdint>

#include "model/network/pro_ad.h"
#include "model/training/feature_cache.h"

namespace proad::model {

// Replaces the weights of `model`, a fresh one, by a start from the pictures in `features`, which
// is not empty:
//   bottleneck   if there is one: Q_0 = m + U U^T (F - m), U [C, C/4] the principal directions and
//   m the mean of F;
//                exact, as GELU(x) - GELU(-x) = x, and to be unlearned freely
//   prototypes   their place: sines and cosines of it, along U, so that neighbours start alike
//   the rest     normal of deviation 0.4 / sqrt(C); norms stay
// Takes its random numbers from torch's generator.
void StartFromPrincipalDirections(ProAd& model, FeatureCache& features);

}  // namespace proad::model
