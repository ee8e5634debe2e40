// Anomaly maps as numbers. Pure functions: safe to call from any thread.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "proad/v1/detection.pb.h"

namespace proad::client {

// The map's values `raw * scale + offset`, [height, width] row-major from the top left, in units of
// score. For FLOAT32, U16_SCALED and U8_SCALED. INVALID_ARGUMENT when the data are not width *
// height samples; UNIMPLEMENTED for PNG16, which needs a PNG decoder: ask for U16_SCALED, which
// holds the same numbers, or decode `data` with one and apply scale and offset.
absl::StatusOr<std::vector<float>> DecodeHeatmap(const proad::v1::Heatmap& heatmap);

}  // namespace proad::client
