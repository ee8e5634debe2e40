#include "model/picture/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "model/files/error.h"

namespace proad::model {
namespace {

using ::testing::HasSubstr;
using Bytes = std::vector<uint8_t>;

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

TEST(UnpackFrame, Mono8IsRepeated) {
  const Bytes data = {1, 2, 3, 4};
  const Image image = UnpackFrame({.width = 2, .height = 2, .data = data});
  EXPECT_EQ(image.width, 2);
  EXPECT_EQ(image.height, 2);
  EXPECT_EQ(image.pixels, (Bytes{1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4}));
}

TEST(UnpackFrame, Mono16IsLittleEndianAndRounded) {
  const Bytes data = {0x80, 0x00, 0x81, 0x00, 0xFF, 0xFF, 0x34, 0x12};
  const Image image =
      UnpackFrame({.width = 4, .height = 1, .format = PixelFormat::kMono16, .data = data});
  EXPECT_EQ(image.pixels, (Bytes{0, 0, 0, 1, 1, 1, 255, 255, 255, 18, 18, 18}));
}

TEST(UnpackFrame, KeepsTheOrderOfColours) {
  const Bytes data = {1, 2, 3, 4, 5, 6};
  FrameView frame{.width = 1, .height = 2, .format = PixelFormat::kRgb8, .data = data};
  EXPECT_EQ(UnpackFrame(frame).pixels, data);
  frame.format = PixelFormat::kBgr8;
  EXPECT_EQ(UnpackFrame(frame).pixels, (Bytes{3, 2, 1, 6, 5, 4}));
}

TEST(UnpackFrame, SkipsRowPadding) {
  const Bytes data = {1, 2, 99, 99, 3, 4, 99, 99};
  const FrameView frame{.width = 2, .height = 2, .stride = 4, .data = data};
  const Bytes expected = {1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4};
  EXPECT_EQ(UnpackFrame(frame).pixels, expected);
}

// A buffer may end anywhere from the last row's pixels to the end of its padding.
TEST(UnpackFrame, AcceptsDataThatEndsInTheLastPadding) {
  const Bytes data(10, 7);
  for (size_t size = 0; size <= data.size(); ++size) {
    const FrameView frame{
        .width = 2, .height = 2, .stride = 4, .data = std::span(data).first(size)};
    if (size >= 6 && size <= 8) {
      EXPECT_NO_THROW(UnpackFrame(frame)) << size;
    } else {
      EXPECT_THROW(UnpackFrame(frame), InvalidInput) << size;
    }
  }
}

// A camera that sends 12 bits in the high bits of 16, or another format.
TEST(UnpackFrame, RefusesSamplesAboveWhite) {
  const struct {
    PixelFormat format;
    int white;
    const char* words;
  } cases[] = {
      {PixelFormat::kMono10, 1023, "sample 1024 at column 2, row 1; white of Mono10 is 1023"},
      {PixelFormat::kMono12, 4095, "sample 4096 at column 2, row 1; white of Mono12 is 4095"},
      {PixelFormat::kBayerGb10, 1023, "sample 1024 at column 2, row 1; white of BayerGB10 is 1023"},
      {PixelFormat::kBayerBg12, 4095, "sample 4096 at column 2, row 1; white of BayerBG12 is 4095"},
  };
  for (const auto& c : cases) {
    Bytes data(18 + 3 * 2);  // strides of 8 bytes, two of them padding
    FrameView frame{.width = 3, .height = 3, .stride = 8, .format = c.format, .data = data};
    std::fill(data.begin() + 6, data.begin() + 8, 0xFF);
    data[8 + 4] = static_cast<uint8_t>(c.white);
    data[8 + 5] = static_cast<uint8_t>(c.white >> 8);
    EXPECT_NO_THROW(UnpackFrame(frame)) << c.words;
    data[8 + 4] = 0;
    data[8 + 5] = static_cast<uint8_t>((c.white + 1) >> 8);
    try {
      UnpackFrame(frame);
      FAIL() << "accepted: " << c.words;
    } catch (const InvalidInput& error) {
      EXPECT_EQ(error.field(), "frame.data");
      EXPECT_EQ(error.reason(), "FRAME_SAMPLE_INVALID");
      EXPECT_THAT(error.what(), HasSubstr(c.words));
    }
  }
}

struct Refusal {
  std::string name;
  FrameView frame;  // its data are set by data_size
  size_t data_size = 0;
  std::string field;
  std::string reason;
  std::string words;
};

void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.name; }

class RefusedFrame : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedFrame, NamesFieldReasonAndLimit) {
  const ImageLimits limits{.max_bytes = 1000, .max_pixels = 400, .max_side = 100};
  const Bytes data(GetParam().data_size);
  FrameView frame = GetParam().frame;
  frame.data = data;
  try {
    UnpackFrame(frame, limits);
    FAIL() << "accepted";
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.field(), GetParam().field);
    EXPECT_EQ(error.reason(), GetParam().reason);
    EXPECT_THAT(error.what(), HasSubstr(GetParam().words));
  }
}

constexpr PixelFormat kRgb = PixelFormat::kRgb8;
constexpr PixelFormat kMono16 = PixelFormat::kMono16;

INSTANTIATE_TEST_SUITE_P(
    Mismatches, RefusedFrame,
    testing::Values(
        Refusal{"NoWidth", {.width = 0, .height = 4}, 4, "frame.width", "IMAGE_EMPTY", "is 0"},
        Refusal{"NoHeight", {.width = 4, .height = 0}, 4, "frame.height", "IMAGE_EMPTY", "is 0"},
        Refusal{
            "NegativeWidth", {.width = -4, .height = 4}, 4, "frame.width", "IMAGE_EMPTY", "is -4"},
        Refusal{"NoData",
                {.width = 4, .height = 4},
                0,
                "frame.data",
                "FRAME_SIZE_MISMATCH",
                "0 bytes instead of 16"},
        Refusal{"Wide",
                {.width = 101, .height = 1},
                101,
                "frame.width",
                "IMAGE_TOO_LARGE",
                "at most 100 pixels a side"},
        Refusal{"High",
                {.width = 1, .height = 101},
                101,
                "frame.height",
                "IMAGE_TOO_LARGE",
                "at most 100 pixels a side"},
        Refusal{"HugeSides",
                {.width = kHuge, .height = kHuge},
                1,
                "frame.width",
                "IMAGE_TOO_LARGE",
                "at most 100"},
        Refusal{"ManyPixels",
                {.width = 21, .height = 20},
                420,
                "frame.width",
                "IMAGE_TOO_LARGE",
                "21 x 20 pixels; at most 400"},
        Refusal{"ManyBytes",
                {.width = 10, .height = 10, .stride = 120},
                1001,
                "frame.data",
                "IMAGE_BYTES_TOO_LARGE",
                "1001 bytes; at most 1000"},
        Refusal{"OneShort",
                {.width = 5, .height = 4, .format = kRgb},
                59,
                "frame.data",
                "FRAME_SIZE_MISMATCH",
                "59 bytes instead of 60"},
        Refusal{"OneLong",
                {.width = 5, .height = 4, .format = kRgb},
                61,
                "frame.data",
                "FRAME_SIZE_MISMATCH",
                "61 bytes instead of 60"},
        Refusal{"WrongFormat",
                {.width = 5, .height = 4, .format = kMono16},
                20,
                "frame.data",
                "FRAME_SIZE_MISMATCH",
                "Mono16"},
        Refusal{"ShortStride",
                {.width = 5, .height = 4, .stride = 14, .format = kRgb},
                60,
                "frame.stride",
                "FRAME_SIZE_MISMATCH",
                "5 RGB8 pixels has 15 bytes"},
        Refusal{"NegativeStride",
                {.width = 5, .height = 4, .stride = -15, .format = kRgb},
                60,
                "frame.stride",
                "FRAME_SIZE_MISMATCH",
                "is -15"},
        Refusal{"HugeStride",
                {.width = 5, .height = 4, .stride = kHuge},
                20,
                "frame.stride",
                "FRAME_SIZE_MISMATCH",
                "20 bytes"},
        Refusal{"LongStride",
                {.width = 5, .height = 4, .stride = 10},
                34,
                "frame.data",
                "FRAME_SIZE_MISMATCH",
                "34 bytes instead of 35 to 40"},
        Refusal{"PackedOddWidthShort",
                {.width = 3, .height = 2, .format = PixelFormat::kMono12p},
                9,
                "frame.data",
                "FRAME_SIZE_MISMATCH",
                "9 bytes instead of 10 (2 rows, stride 5; a row of 3 Mono12p pixels has 5 bytes)"},
        Refusal{"PackedTenBitsShort",
                {.width = 5, .height = 2, .format = PixelFormat::kMono10p},
                13,
                "frame.data",
                "FRAME_SIZE_MISMATCH",
                "13 bytes instead of 14 (2 rows, stride 7; a row of 5 Mono10p pixels has 7 bytes)"},
        Refusal{"PackedShortStride",
                {.width = 3, .height = 2, .stride = 4, .format = PixelFormat::kMono12p},
                8,
                "frame.stride",
                "FRAME_SIZE_MISMATCH",
                "frame.stride is 4, but a row of 3 Mono12p pixels has 5 bytes"},
        Refusal{"BayerShort",
                {.width = 5, .height = 3, .format = PixelFormat::kBayerGr12},
                29,
                "frame.data",
                "FRAME_SIZE_MISMATCH",
                "29 bytes instead of 30"},
        Refusal{"NarrowBayer",
                {.width = 2, .height = 4, .format = PixelFormat::kBayerRg8},
                8,
                "frame.width",
                "FRAME_SIZE_MISMATCH",
                "frame.width is 2; a BayerRG8 frame needs at least 3 pixels a side"},
        Refusal{"LowBayer",
                {.width = 4, .height = 1, .format = PixelFormat::kBayerBg16},
                8,
                "frame.height",
                "FRAME_SIZE_MISMATCH",
                "frame.height is 1; a BayerBG16 frame needs at least 3"},
        Refusal{"OddYuv",
                {.width = 5, .height = 2, .format = PixelFormat::kYuv422},
                20,
                "frame.width",
                "FRAME_SIZE_MISMATCH",
                "frame.width is 5; a YUV422_8 frame needs an even width"},
        Refusal{"YuvShort",
                {.width = 4, .height = 2, .format = PixelFormat::kYuv422Uyvy},
                15,
                "frame.data",
                "FRAME_SIZE_MISMATCH",
                "15 bytes instead of 16"}),
    [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace proad::model
