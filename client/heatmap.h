// Decodes anomaly maps. Pure functions: safe to call from any thread.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "proad/v1/detection.pb.h"

namespace proad::client {

// Returns the values raw * scale + offset of the map, [height, width], row by row from the top left,
// in units of score. Supports FLOAT32, U16_SCALED and U8_SCALED.
//   INVALID_ARGUMENT  The data do not have width * height samples.
//   UNIMPLEMENTED     The format is PNG16, and this library has no PNG decoder. Request U16_SCALED,
//                     which has the same values, or decode `data` and apply scale and offset.
absl::StatusOr<std::vector<float>> DecodeHeatmap(const proad::v1::Heatmap& heatmap);

}  // namespace proad::client
