// Encodes anomaly maps for responses: as samples, and as an overlay on the image.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <span>
#include <string>

#include "model/picture/image.h"
#include "model/picture/preprocess.h"

namespace proad::model {

// The map values of the lowest and the highest colour of an overlay, and the range of integer
// heatmaps. Part of the model version, so that the maps of different images compare.
struct MapRange {
  float low = 0.0f;
  float high = 0.3f;

  bool operator==(const MapRange&) const = default;
};

// How the samples of a heatmap are stored.
enum class HeatmapEncoding {
  kFloat32,  // IEEE 754 single precision
  kU16,      // unsigned 16 bit
  kU8,       // unsigned 8 bit
  kPng16,    // a 16 bit grey PNG file
};

// An anomaly map as bytes. In every encoding the value of a pixel is sample * scale + offset.
struct EncodedHeatmap {
  int width = 0;
  int height = 0;
  float scale = 1.0f;
  float offset = 0.0f;
  // Samples, row-major from the top left, little-endian, tightly packed. kPng16: a PNG file.
  std::string data;
};

// Encodes a map of `height` rows of `width` values, which must be finite.
//
// kFloat32 keeps the values. The integer encodings quantise `range` evenly, so that samples of
// different images compare. If a value of the map lies outside, the range is widened to that value:
// nothing is clipped, and no value changes by more than half of `scale`.
// Throws InvalidInput: field "map", reason MAP_SIZE_MISMATCH or MAP_NOT_FINITE; field "map_range",
// reason MAP_RANGE_INVALID, unless low < high and both are finite.
EncodedHeatmap EncodeHeatmap(std::span<const float> map, int width, int height,
                             HeatmapEncoding encoding, MapRange range);

// The image as a PNG file (RGB, 8 bit) with its map drawn over it. Colours run from dark blue at
// range.low over green to red at range.high and above; higher values are more opaque. Pixels
// outside `inspected_area` are darkened.
//   map: [image.height, image.width]
// Throws InvalidInput as EncodeHeatmap does.
std::string RenderOverlay(const Image& image, std::span<const float> map, MapRange range,
                          Box inspected_area);

}  // namespace proad::model
