#include "client/heatmap.h"

#include <bit>
#include <cstdint>

#include "absl/strings/str_cat.h"

namespace proad::client {
namespace {

// Reads a little-endian sample, on machines of any byte order.
float ReadU8(const char* data) { return static_cast<uint8_t>(data[0]); }

float ReadU16(const char* data) {
  return static_cast<float>(static_cast<uint8_t>(data[0]) | static_cast<uint8_t>(data[1]) << 8);
}

float ReadFloat(const char* data) {
  uint32_t bits = 0;
  for (int i = 0; i < 4; ++i) bits |= static_cast<uint32_t>(static_cast<uint8_t>(data[i])) << 8 * i;
  return std::bit_cast<float>(bits);
}

}  // namespace

absl::StatusOr<std::vector<float>> DecodeHeatmap(const proad::v1::Heatmap& heatmap) {
  uint64_t bytes = 0;
  float (*read)(const char*) = nullptr;
  switch (heatmap.format()) {
    case proad::v1::HEATMAP_FORMAT_FLOAT32:
      bytes = 4;
      read = ReadFloat;
      break;
    case proad::v1::HEATMAP_FORMAT_U16_SCALED:
      bytes = 2;
      read = ReadU16;
      break;
    case proad::v1::HEATMAP_FORMAT_U8_SCALED:
      bytes = 1;
      read = ReadU8;
      break;
    case proad::v1::HEATMAP_FORMAT_PNG16:
      return absl::UnimplementedError(
          "a PNG16 heatmap needs a PNG decoder, which this library does not have: request "
          "HEATMAP_FORMAT_U16_SCALED, or decode the file and apply scale and offset");
    default:
      return absl::InvalidArgumentError(absl::StrCat(
          "heatmap format ", static_cast<int>(heatmap.format()), " is unknown to this client"));
  }
  // width * height of 32 bits each fits into 64 bits, but the size in bytes may not.
  const uint64_t samples = static_cast<uint64_t>(heatmap.width()) * heatmap.height();
  if (heatmap.data().size() % bytes != 0 || heatmap.data().size() / bytes != samples) {
    return absl::InvalidArgumentError(
        absl::StrCat("heatmap data: ", heatmap.data().size(), " bytes are not ", heatmap.width(),
                     " x ", heatmap.height(), " samples of ", bytes, " bytes"));
  }
  std::vector<float> values(samples);
  for (uint64_t i = 0; i < samples; ++i) {
    values[i] = read(heatmap.data().data() + i * bytes) * heatmap.scale() + heatmap.offset();
  }
  return values;
}

}  // namespace proad::client
