// What training makes small (section 3.5, eq. 10 and 11).
//
// Pure functions; safe to call from any thread.
#pragma once

#include <torch/types.h>

#include "model/pro_ad.h"

namespace proad::model {

inline constexpr double kDefaultTau = 3.0;

// Eq. 11: the mean over groups g and pictures b of 1 - cos(flatten E_g[b], flatten D_g[b]), one
// cosine for a whole picture, 0..2. Norms count as 1e-8 at least, so that features of zero have a
// distance of 1.
//
// Eq. 10 changes the gradient and not the value: what reaches D_g at (b, h, w) is multiplied by
//   (d / mean d)^tau,  d(b, h, w) = 1 - cos over channels,  mean over the batch and the grid of the
//   group,
// so that training works at what is not rebuilt yet. tau >= 0; 0 leaves the gradient as it is. The
// factor itself passes no gradient on, and none reaches the encoder's side.
//
// -> scalar, float32 at least. Throws c10::Error for groups that do not match in number or shape.
torch::Tensor ReconstructionLoss(const Reconstruction& reconstruction, double tau = kDefaultTau);

}  // namespace proad::model
