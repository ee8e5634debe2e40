// Writes the maps of a detection beside each other on disk.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "proad/v1/detection.pb.h"

namespace proad::client {

// Where the maps of one picture went; "" for none.
struct MapFiles {
  std::string overlay;
  std::string heatmap;
};

// Writes BASE.overlay.png, and BASE.heatmap.f32, .u16, .u8 or .png (16 bit grey) with
// BASE.heatmap.json, which says how to read it; folders are made. `base` is the output folder and
// the picture's relative path. What the detection does not hold is not written. On an error nothing
// half-written stays.
absl::Status WriteMaps(const proad::v1::DetectResponse& detection,
                       const std::filesystem::path& base, MapFiles& files);

}  // namespace proad::client
