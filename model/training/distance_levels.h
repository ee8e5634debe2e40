// The levels of the groups' distances on good images (DistanceConfig::levels).
//
// Thread-safety: call it from the thread of `model` and `features`.
#pragma once

#include <vector>

#include "model/network/pro_ad.h"
#include "model/training/feature_cache.h"

namespace proad::model {

// The mean cosine distance of each group over the patches of the images in `features`, which must
// not be empty; of at most 256 of them, evenly spaced. `model` must be in evaluation mode.
std::vector<double> MeasureDistanceLevels(ProAd& model, FeatureCache& features);

}  // namespace proad::model
