#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>

#include "client/heatmap.h"

namespace proad::client {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;

proad::v1::Heatmap Map(proad::v1::HeatmapFormat format, uint32_t width, uint32_t height,
                       std::string data, float scale = 1, float offset = 0) {
  proad::v1::Heatmap map;
  map.set_format(format);
  map.set_width(width);
  map.set_height(height);
  map.set_data(std::move(data));
  map.set_scale(scale);
  map.set_offset(offset);
  return map;
}

TEST(DecodeHeatmap, Float32) {
  // 1.0f and -0.5f, little-endian.
  const auto values = DecodeHeatmap(
      Map(proad::v1::HEATMAP_FORMAT_FLOAT32, 2, 1, std::string("\0\0\x80\x3f\0\0\0\xbf", 8)));
  ASSERT_TRUE(values.ok()) << values.status();
  EXPECT_THAT(*values, ElementsAre(1.0f, -0.5f));
}

TEST(DecodeHeatmap, IntegersAreScaledAndShifted) {
  const auto wide = DecodeHeatmap(Map(proad::v1::HEATMAP_FORMAT_U16_SCALED, 1, 2,
                                      std::string("\x01\x02\xff\xff", 4), 0.5f, 1.0f));
  ASSERT_TRUE(wide.ok()) << wide.status();
  EXPECT_THAT(*wide, ElementsAre(FloatEq(0x0201 * 0.5f + 1), FloatEq(65535 * 0.5f + 1)));
  const auto narrow = DecodeHeatmap(
      Map(proad::v1::HEATMAP_FORMAT_U8_SCALED, 3, 1, std::string("\x00\x80\xff", 3), 0.01f, -1.0f));
  ASSERT_TRUE(narrow.ok()) << narrow.status();
  EXPECT_THAT(*narrow, ElementsAre(FloatEq(-1.0f), FloatEq(0.28f), FloatEq(1.55f)));
}

TEST(DecodeHeatmap, WrongSizesAreErrors) {
  const struct {
    uint32_t width, height;
    size_t bytes;
  } kTable[] = {{2, 2, 15}, {2, 2, 17}, {2, 2, 12}, {0, 5, 4}, {0xffffffff, 0xffffffff, 4}};
  for (const auto& row : kTable) {
    const auto values = DecodeHeatmap(Map(proad::v1::HEATMAP_FORMAT_FLOAT32, row.width, row.height,
                                          std::string(row.bytes, '\0')));
    EXPECT_EQ(values.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(values.status().message()), HasSubstr("heatmap data"));
  }
}

TEST(DecodeHeatmap, OtherFormatsAreNamed) {
  const auto png = DecodeHeatmap(Map(proad::v1::HEATMAP_FORMAT_PNG16, 1, 1, "png"));
  EXPECT_EQ(png.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(png.status().message()), HasSubstr("U16_SCALED"));
  const auto none = DecodeHeatmap(proad::v1::Heatmap());
  EXPECT_EQ(none.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace proad::client
