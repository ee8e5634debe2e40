// The layer widths of SqueezeNet 1.1 (Iandola et al., "SqueezeNet", 2016; release 1.1). No
// LibTorch.
#pragma once

#include <cstdint>

namespace proad::model {

inline constexpr int64_t kConv1Width = 64;

struct FireWidths {
  int64_t squeezed;
  int64_t expanded;  // by each of its two convolutions
};
inline constexpr int kFirstFire = 2;
inline constexpr FireWidths kFires[] = {{16, 64},  {16, 64},  {32, 128}, {32, 128},
                                        {48, 192}, {48, 192}, {64, 256}, {64, 256}};

// Features of a patch (squeezenet_features.h): fire3 twice, fire5 twice, fire9.
inline constexpr int64_t kPatchFeatures = 2 * 128 + 2 * 256 + 512;

}  // namespace proad::model
