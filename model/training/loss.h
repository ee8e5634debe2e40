// What training makes small (section 3.5, eq. 10 and 11).
//
// Pure functions; safe to call from any thread, with processes one.
#pragma once

#include <torch/types.h>

#include "model/network/pro_ad.h"
#include "model/training/process_group.h"

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
// `processes` each have an equal share of the batch: the mean inside the factor is over all of it,
// and the mean of their losses is the loss of the whole.
//
// -> scalar, float32 at least. Throws c10::Error for groups that do not match in number or shape,
// and as ProcessGroup.
torch::Tensor ReconstructionLoss(const Reconstruction& reconstruction, double tau = kDefaultTau,
                                 const ProcessGroup& processes = ProcessGroup());

}  // namespace proad::model
