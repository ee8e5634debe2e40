// The training loss (paper, section 3.5, eq. 10 and 11).
//
// Pure function; safe to call from any thread. With several processes, as ProcessGroup.
#pragma once

#include <torch/types.h>

#include "model/network/pro_ad.h"
#include "model/training/process_group.h"

namespace proad::model {

inline constexpr double kDefaultTau = 3.0;

// Eq. 11: the mean over groups g and images b of 1 - cos(flatten E_g[b], flatten D_g[b]), with one
// cosine per image, 0..2. Norms are at least 1e-8, so features of zero have the distance 1.
//
// Eq. 10 changes the gradient, not the value: the gradient that reaches D_g at (b, h, w) is
// multiplied by
//   (d / mean d)^tau,  d(b, h, w) = 1 - cos over channels,  mean over batch and grid of the group,
// which gives patches with a poor reconstruction more weight. tau >= 0; 0 does not change the
// gradient. No gradient passes through the factor or to the encoder's side.
//
// Each of `processes` has an equal share of the batch. The mean in the factor is over the whole
// batch, and the mean of the processes' losses is the loss of the whole batch.
//
// reconstruction: groups of [B, h, w, C] -> scalar, float32 or wider. Throws c10::Error for groups
// that differ in number or shape, and as ProcessGroup.
torch::Tensor ReconstructionLoss(const Reconstruction& reconstruction, double tau = kDefaultTau,
                                 const ProcessGroup& processes = ProcessGroup());

}  // namespace proad::model
