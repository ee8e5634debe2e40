#include "server/batching/output_size.h"

namespace proad::server {
namespace {

// Bytes of a PNG file whose samples do not compress: a filter byte per row, and at most 1/256 for
// zlib's stored blocks and for the chunks of PNG.
int64_t MaxPngBytes(int64_t width, int64_t height, int64_t bytes_per_pixel) {
  constexpr int64_t kHeaders = 4096;
  const int64_t samples = width * height * bytes_per_pixel + height;
  return samples + samples / 256 + kHeaders;
}

int64_t MaxHeatmapBytes(model::HeatmapEncoding encoding, int64_t width, int64_t height) {
  switch (encoding) {
    case model::HeatmapEncoding::kFloat32:
      return width * height * 4;
    case model::HeatmapEncoding::kU16:
      return width * height * 2;
    case model::HeatmapEncoding::kU8:
      return width * height;
    case model::HeatmapEncoding::kPng16:
      return MaxPngBytes(width, height, 2);
  }
  return width * height * 4;
}

}  // namespace

int64_t MaxOutputBytes(const DetectOutputs& outputs, int64_t width, int64_t height) {
  int64_t bytes = 0;
  if (outputs.heatmap) bytes += MaxHeatmapBytes(*outputs.heatmap, width, height);
  if (outputs.overlay) bytes += MaxPngBytes(width, height, 3);
  return bytes;
}

int64_t LargestOutputBytes(int64_t pixels) {
  // One pixel per row has the most filter bytes.
  return MaxOutputBytes({.heatmap = model::HeatmapEncoding::kFloat32, .overlay = true}, 1, pixels);
}

}  // namespace proad::server
