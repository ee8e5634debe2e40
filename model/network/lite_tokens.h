// Tokens of the stages of EfficientNet-Lite on the grid of patches, and the scaling of groups of
// different origin to comparable tokens.
//
// Pure functions; safe to call from any thread.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "model/network/efficientnet_lite.h"
#include "model/spec/config.h"

namespace proad::model {

// A fixed matrix with orthonormal rows, the cosine transform of kind four; orthonormal columns,
// scaled, if there are more rows than columns. -> float32 [rows, columns]
torch::Tensor CosineProjection(int64_t rows, int64_t columns);

// One tensor for each of config.lite.groups. Each stage is averaged (a coarser map: interpolated
// bilinearly) to the grid, its tokens are divided by their length, and projected to C; a group is
// the mean of its stages. Different stages use different rows of one CosineProjection, so a group
// keeps the angles of its stages' tokens side by side as long as C is at least their width.
// images: RGB in 0..1, float [B, 3, H, W], sides multiples of config.patch -> [B, h w, C]
std::vector<torch::Tensor> LiteGroups(const EfficientNetLite& network, const EncoderConfig& config,
                                      const torch::Tensor& images);

// Subtracts config.group_centering of the mean over the patches from each group's tokens, and sets
// their length to config.group_levels, in units of sqrt(C).
// groups: [B, h w, C], as many as levels -> the same shapes
std::vector<torch::Tensor> ScaleGroups(const EncoderConfig& config,
                                       const std::vector<torch::Tensor>& groups);

}  // namespace proad::model
