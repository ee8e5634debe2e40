// The anomaly map and the image score of a reconstruction (paper, section 4.1; model/README.md,
// "map and score").
//
// Thread-safety: const after construction; all calls may run in several threads.
#pragma once

#include <torch/types.h>

#include "model/network/pro_ad.h"
#include "model/spec/config.h"

namespace proad::model {

inline constexpr int kMapSide = 256;
// The score is the mean of this number of the map's largest values: 1 % of 256 x 256.
inline constexpr int kScorePixels = kMapSide * kMapSide / 100;

// Cosine distance of every patch in each group. -> [G, B, h, w], values in 0..2
torch::Tensor GroupDistances(const Reconstruction& reconstruction);

// Cosine distance of every patch, combined over groups. -> [B, h, w]; a mean is in 0..2
torch::Tensor PatchDistances(const Reconstruction& reconstruction,
                             const DistanceConfig& distance = {});

// Resizes patch distances to a map of kMapSide x kMapSide: bilinear to the input size
// (align_corners), bilinear to 256 (without align_corners), then a 5 x 5 Gaussian of sigma 4 with
// zero padding. Every step is linear and separable, so one product computes all of them:
// map = A_h^T m A_w with constant matrices A.
class AnomalyMap {
 public:
  AnomalyMap(const ModelConfig& config, torch::Device device);

  // distances: [B, h, w] -> [B, 256, 256]
  torch::Tensor Smooth(const torch::Tensor& distances) const;

  // -> [B, 256, 256]
  torch::Tensor operator()(const Reconstruction& reconstruction) const {
    return Smooth(PatchDistances(reconstruction, distance_));
  }

 private:
  torch::Tensor rows_;     // A_h^T [256, h]
  torch::Tensor columns_;  // A_w [w, 256]
  DistanceConfig distance_;
};

// Mean of the kScorePixels largest values of each map. maps: [B, 256, 256] -> [B]
torch::Tensor ImageScore(const torch::Tensor& maps);

}  // namespace proad::model
