// Writes the maps of a detection to files.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "proad/v1/detection.pb.h"

namespace proad::client {

// Paths of the written maps of one image; empty for a map that was not written.
struct MapFiles {
  std::string overlay;
  std::string heatmap;
};

// Writes BASE.overlay.png, and BASE.heatmap.f32, .u16, .u8 or .png (grey, 16 bits) with a description
// in BASE.heatmap.json. `base` is the output folder with the image's relative path. Creates folders.
// Writes only the maps that the detection holds. After an error, no partial file remains.
absl::Status WriteMaps(const proad::v1::DetectResponse& detection,
                       const std::filesystem::path& base, MapFiles& files);

}  // namespace proad::client
