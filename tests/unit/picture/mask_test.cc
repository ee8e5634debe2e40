// Masks as label tools write them: which pixels each of them marks.
#include "model/picture/mask.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <opencv2/imgcodecs.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "model/files/error.h"
#include "tests/support/picture_bytes.h"

namespace proad::model {
namespace {

using ::proad::test::Bytes;
using ::proad::test::PutBig;
using ::proad::test::PutLittle;
using ::proad::test::PutText;
using ::testing::HasSubstr;

constexpr int kWidth = 18;  // no multiple of 8: rows of packed bits end inside a byte
constexpr int kHeight = 12;

bool InShape(int x, int y) { return x >= 4 && x < 11 && y >= 3 && y < 8; }

// The samples of all pixels, row by row: `on` in the shape and `off` elsewhere.
template <typename Put>
Bytes Samples(const std::vector<uint64_t>& off, const std::vector<uint64_t>& on, const Put& put) {
  Bytes data;
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      for (const uint64_t sample : InShape(x, y) ? on : off) put(data, sample);
    }
  }
  return data;
}

// The same with `bits` a sample; rows begin with a byte.
Bytes Packed(int bits, uint8_t off, uint8_t on) {
  const int row = (kWidth * bits + 7) / 8;
  Bytes data(size_t(row) * kHeight);
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      const int at = x * bits;
      data[size_t(row) * y + at / 8] |= (InShape(x, y) ? on : off) << (8 - bits - at % 8);
    }
  }
  return data;
}

void PutChunk(Bytes& png, const std::string& type, const Bytes& data) {
  PutBig(png, static_cast<uint32_t>(data.size()), 4);
  const size_t begin = png.size();
  PutText(png, type);
  png.insert(png.end(), data.begin(), data.end());
  uint32_t crc = ~uint32_t{0};
  for (size_t i = begin; i < png.size(); ++i) {
    crc ^= png[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xEDB88320u : 0u);
  }
  PutBig(png, ~crc, 4);
}

// A zlib stream without compression.
Bytes Stored(const Bytes& data) {
  Bytes out = {0x78, 0x01, 0x01};
  PutLittle(out, static_cast<uint32_t>(data.size()), 2);
  PutLittle(out, ~static_cast<uint32_t>(data.size()), 2);
  out.insert(out.end(), data.begin(), data.end());
  uint32_t a = 1;
  uint32_t b = 0;
  for (const uint8_t byte : data) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  PutBig(out, b << 16 | a, 4);
  return out;
}

enum PngColour : uint8_t { kGrey = 0, kRgb = 2, kIndexed = 3, kGreyAlpha = 4, kRgba = 6 };

Bytes PngOf(int bits, PngColour colour, const Bytes& rows, const Bytes& palette = {},
            const Bytes& opacity = {}) {
  Bytes png = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  Bytes header;
  PutBig(header, kWidth, 4);
  PutBig(header, kHeight, 4);
  for (const int value : {bits, int{colour}, 0, 0, 0})
    header.push_back(static_cast<uint8_t>(value));
  PutChunk(png, "IHDR", header);
  if (!palette.empty()) PutChunk(png, "PLTE", palette);
  if (!opacity.empty()) PutChunk(png, "tRNS", opacity);
  Bytes filtered;
  const size_t row = rows.size() / kHeight;
  for (size_t y = 0; y < kHeight; ++y) {
    filtered.push_back(0);
    filtered.insert(filtered.end(), rows.begin() + static_cast<ptrdiff_t>(y * row),
                    rows.begin() + static_cast<ptrdiff_t>((y + 1) * row));
  }
  PutChunk(png, "IDAT", Stored(filtered));
  PutChunk(png, "IEND", {});
  return png;
}

Bytes Png8(PngColour colour, const std::vector<uint64_t>& off, const std::vector<uint64_t>& on,
           const Bytes& palette = {}, const Bytes& opacity = {}) {
  const auto put = [](Bytes& out, uint64_t value) { out.push_back(static_cast<uint8_t>(value)); };
  return PngOf(8, colour, Samples(off, on, put), palette, opacity);
}

Bytes Png16(PngColour colour, const std::vector<uint64_t>& off, const std::vector<uint64_t>& on) {
  const auto put = [](Bytes& out, uint64_t value) { PutBig(out, static_cast<uint32_t>(value), 2); };
  return PngOf(16, colour, Samples(off, on, put));
}

struct TiffKind {
  int bits = 8;
  int samples = 1;
  int format = 1;       // 1 unsigned, 2 signed, 3 floating-point
  int photometric = 1;  // 0 white is zero, 1 black is zero, 2 RGB, 3 palette
};

Bytes TiffOf(const TiffKind& kind, const Bytes& data, const Bytes& palette = {}) {
  struct Tag {
    int number;
    int type;  // 3: 16 bits, 4: 32 bits
    uint32_t count;
    Bytes values;
  };
  const auto shorts = [](uint32_t value, int count) {
    Bytes bytes;
    for (int i = 0; i < count; ++i) PutLittle(bytes, value, 2);
    return bytes;
  };
  const auto word = [](uint32_t value) {
    Bytes bytes;
    PutLittle(bytes, value, 4);
    return bytes;
  };
  const auto samples = static_cast<uint32_t>(kind.samples);
  std::vector<Tag> tags = {
      {256, 4, 1, word(kWidth)},
      {257, 4, 1, word(kHeight)},
      {258, 3, samples, shorts(kind.bits, kind.samples)},
      {259, 3, 1, shorts(1, 1)},
      {262, 3, 1, shorts(kind.photometric, 1)},
      {273, 4, 1, word(8)},
      {277, 3, 1, shorts(samples, 1)},
      {278, 4, 1, word(kHeight)},
      {279, 4, 1, word(static_cast<uint32_t>(data.size()))},
  };
  if (!palette.empty())
    tags.push_back({320, 3, static_cast<uint32_t>(palette.size() / 2), palette});
  if (kind.samples == 2 || kind.samples == 4) tags.push_back({338, 3, 1, shorts(2, 1)});
  tags.push_back({339, 3, samples, shorts(kind.format, kind.samples)});
  Bytes file = {'I', 'I', 42, 0};
  const auto directory = static_cast<uint32_t>(8 + data.size() + data.size() % 2);
  PutLittle(file, directory, 4);
  file.insert(file.end(), data.begin(), data.end());
  file.resize(directory);
  uint32_t more = directory + 2 + 12 * static_cast<uint32_t>(tags.size()) + 4;
  PutLittle(file, static_cast<uint32_t>(tags.size()), 2);
  Bytes behind;
  for (Tag& tag : tags) {
    PutLittle(file, static_cast<uint32_t>(tag.number), 2);
    PutLittle(file, static_cast<uint32_t>(tag.type), 2);
    PutLittle(file, tag.count, 4);
    if (tag.values.size() > 4) {
      PutLittle(file, more + static_cast<uint32_t>(behind.size()), 4);
      behind.insert(behind.end(), tag.values.begin(), tag.values.end());
    } else {
      tag.values.resize(4);
      file.insert(file.end(), tag.values.begin(), tag.values.end());
    }
  }
  PutLittle(file, 0, 4);
  file.insert(file.end(), behind.begin(), behind.end());
  return file;
}

Bytes TiffSamples(const TiffKind& kind, const std::vector<uint64_t>& off,
                  const std::vector<uint64_t>& on) {
  return TiffOf(kind, Samples(off, on, [&kind](Bytes& out, uint64_t value) {
                  PutLittle(out, static_cast<uint32_t>(value), std::min(kind.bits / 8, 4));
                  if (kind.bits == 64) PutLittle(out, static_cast<uint32_t>(value >> 32), 4);
                }));
}

uint64_t FloatBits(float value) { return std::bit_cast<uint32_t>(value); }
uint64_t DoubleBits(double value) { return std::bit_cast<uint64_t>(value); }

// An 8 bit BMP file with the last row first; entries are blue, green, red, unused.
Bytes Bmp8(uint8_t off, uint8_t on, const Bytes& palette) {
  Bytes bmp = {'B', 'M'};
  const int row = (kWidth + 3) / 4 * 4;
  const auto pixels_at = static_cast<uint32_t>(54 + palette.size());
  PutLittle(bmp, pixels_at + row * kHeight, 4);
  PutLittle(bmp, 0, 4);
  PutLittle(bmp, pixels_at, 4);
  PutLittle(bmp, 40, 4);
  PutLittle(bmp, kWidth, 4);
  PutLittle(bmp, kHeight, 4);
  PutLittle(bmp, 1, 2);
  PutLittle(bmp, 8, 2);
  for (int i = 0; i < 4; ++i) PutLittle(bmp, 0, 4);
  PutLittle(bmp, static_cast<uint32_t>(palette.size() / 4), 4);
  PutLittle(bmp, 0, 4);
  bmp.insert(bmp.end(), palette.begin(), palette.end());
  for (int y = kHeight - 1; y >= 0; --y) {
    for (int x = 0; x < row; ++x) bmp.push_back(x < kWidth && InShape(x, y) ? on : off);
  }
  return bmp;
}

Bytes OpenCvFile(const std::string& ending, const cv::Scalar& off, const cv::Scalar& on, int type,
                 const std::vector<int>& parameters = {}) {
  cv::Mat pixels(kHeight * 8, kWidth * 8, type, off);  // larger: codecs blur edges of blocks
  pixels(cv::Range(3 * 8, 8 * 8), cv::Range(4 * 8, 11 * 8)).setTo(on);
  Bytes file;
  cv::imencode(ending, pixels, file, parameters);
  return file;
}

enum class Marks { kShape, kNothing, kAll, kOutside };

struct MaskCase {
  std::string name;
  Bytes file;
  Marks marks = Marks::kShape;
  bool from_alpha = false;
  bool lossy = false;
};

void PrintTo(const MaskCase& mask, std::ostream* out) { *out << mask.name; }

const Bytes kBlackThenRed = {0, 0, 0, 255, 0, 0};
const Bytes kWhiteThenBlack = {255, 255, 255, 0, 0, 0};
const Bytes kTwoWhites = {255, 255, 255, 255, 255, 255};

Bytes TiffPalette(const std::array<uint16_t, 2>& grey) {
  Bytes map;
  for (int channel = 0; channel < 3; ++channel) {
    for (int i = 0; i < 256; ++i) PutLittle(map, i < 2 ? grey[i] : 0, 2);
  }
  return map;
}

std::vector<MaskCase> PngCases() {
  return {
      {"PngGrey255", Png8(kGrey, {0}, {255})},
      {"PngGreyId1", Png8(kGrey, {0}, {1})},
      {"PngBit", PngOf(1, kGrey, Packed(1, 0, 1))},
      {"PngTwoBitsId1", PngOf(2, kGrey, Packed(2, 0, 1))},
      {"PngFourBitsId3", PngOf(4, kGrey, Packed(4, 0, 3))},
      {"Png16BitsId1", Png16(kGrey, {0}, {1})},
      {"Png16BitsId127", Png16(kGrey, {0}, {127})},
      {"Png16BitsId256", Png16(kGrey, {0}, {256})},
      {"Png16BitsColourId1", Png16(kRgb, {0, 0, 0}, {0, 0, 1})},
      {"PngColour", Png8(kRgb, {0, 0, 0}, {0, 2, 0})},
      {"PngGreyOpaque", Png8(kGreyAlpha, {0, 255}, {255, 255})},
      {"PngGreyTransparentBackground", Png8(kGreyAlpha, {0, 0}, {7, 255})},
      {"PngRgbaOpaque", Png8(kRgba, {0, 0, 0, 255}, {1, 1, 1, 255})},
      {"PngRgbaInvisibleButColoured", Png8(kRgba, {0, 0, 0, 0}, {255, 255, 255, 0})},
      {"PngWhiteShapeInAlpha", Png8(kRgba, {255, 255, 255, 0}, {255, 255, 255, 255}), Marks::kShape,
       true},
      {"PngBlackShapeInAlpha", Png8(kRgba, {0, 0, 0, 0}, {0, 0, 0, 255}), Marks::kShape, true},
      {"PngGreyShapeInAlpha", Png8(kGreyAlpha, {0, 0}, {0, 9}), Marks::kShape, true},
      {"PngRedShapeOnInvisibleWhite", Png8(kRgba, {255, 255, 255, 0}, {255, 0, 0, 255}),
       Marks::kShape, true},
      {"Png16BitsShapeInAlpha", Png16(kRgba, {65535, 65535, 65535, 0}, {65535, 65535, 65535, 1}),
       Marks::kShape, true},
      {"PngPaletteBlackBackground", Png8(kIndexed, {0}, {1}, kBlackThenRed)},
      {"PngPaletteOneBit", PngOf(1, kIndexed, Packed(1, 0, 1), kBlackThenRed)},
      {"PngPaletteBlackId1", Png8(kIndexed, {0}, {1}, {0, 0, 0, 0, 0, 0})},
      {"PngPaletteColouredBackground", Png8(kIndexed, {0}, {1}, {0, 0, 99, 255, 0, 0})},
      {"PngPaletteSortedByBrightness", Png8(kIndexed, {1}, {0}, kWhiteThenBlack)},
      {"PngPaletteOneColourAndOpacity", Png8(kIndexed, {1}, {0}, kTwoWhites, {255, 0}),
       Marks::kShape, true},
      {"PngBlack", Png8(kGrey, {0}, {0}), Marks::kNothing},
      {"PngWhite", Png8(kGrey, {255}, {255}), Marks::kAll},
      {"PngWhiteBackground", Png8(kGrey, {255}, {0}), Marks::kOutside},
      {"PngTransparentBlack", Png8(kRgba, {0, 0, 0, 0}, {0, 0, 0, 0}), Marks::kNothing},
  };
}

std::vector<MaskCase> OtherCases() {
  const int lossless = 101;  // a WebP quality above 100
  return {
      {"TiffGreyId1", TiffSamples({}, {0}, {1})},
      {"TiffBit", TiffOf({.bits = 1}, Packed(1, 0, 1))},
      {"TiffBitWhiteIsZero", TiffOf({.bits = 1, .photometric = 0}, Packed(1, 1, 0))},
      {"TiffFourBits", TiffOf({.bits = 4}, Packed(4, 0, 1))},
      {"Tiff16BitsId1", TiffSamples({.bits = 16}, {0}, {1})},
      {"Tiff16BitsWhiteIsZero", TiffSamples({.bits = 16, .photometric = 0}, {65535}, {65534})},
      {"Tiff32BitsId", TiffSamples({.bits = 32}, {0}, {1})},
      {"TiffSignedBits", TiffSamples({.bits = 16, .format = 2}, {0}, {0xFFFF})},
      {"TiffFloatOne", TiffSamples({.bits = 32, .format = 3}, {0}, {FloatBits(1)})},
      {"TiffFloatSmall", TiffSamples({.bits = 32, .format = 3}, {0}, {FloatBits(1e-6F)})},
      {"TiffFloatMinusZero",
       TiffSamples({.bits = 32, .format = 3}, {FloatBits(-0.0F)}, {FloatBits(0.5F)})},
      {"TiffDouble", TiffSamples({.bits = 64, .format = 3}, {0}, {DoubleBits(1e-300)})},
      {"TiffHalf", TiffSamples({.bits = 16, .format = 3}, {0x8000}, {0x3C00})},
      {"TiffRgb", TiffSamples({.samples = 3, .photometric = 2}, {0, 0, 0}, {0, 0, 1})},
      {"TiffRgbaShapeInAlpha",
       TiffSamples({.samples = 4, .photometric = 2}, {9, 9, 9, 0}, {9, 9, 9, 255}), Marks::kShape,
       true},
      {"TiffGreyAlpha", TiffSamples({.samples = 2}, {0, 255}, {1, 255})},
      {"TiffPalette",
       TiffOf({.photometric = 3},
              Samples({0}, {1},
                      [](Bytes& out, uint64_t v) { out.push_back(static_cast<uint8_t>(v)); }),
              TiffPalette({0, 257}))},
      {"TiffBlack", TiffSamples({.bits = 16}, {0}, {0}), Marks::kNothing},
      {"BmpPalette", Bmp8(0, 1, {0, 0, 0, 0, 0, 0, 200, 0})},
      {"BmpBlackId1", Bmp8(0, 1, {0, 0, 0, 0, 0, 0, 0, 0})},
      {"BmpSortedByBrightness", Bmp8(1, 0, {255, 255, 255, 0, 0, 0, 0, 0})},
      {"BmpColour", OpenCvFile(".bmp", {0, 0, 0}, {0, 0, 1}, CV_8UC3)},
      {"Jpeg", OpenCvFile(".jpg", {0}, {255}, CV_8UC1, {cv::IMWRITE_JPEG_QUALITY, 60}),
       Marks::kShape, false, true},
      {"JpegGreyShape", OpenCvFile(".jpg", {0}, {90}, CV_8UC1), Marks::kShape, false, true},
      {"JpegBlack", OpenCvFile(".jpg", {0}, {3}, CV_8UC1), Marks::kNothing, false, true},
      {"WebpLossless",
       OpenCvFile(".webp", {0, 0, 0}, {1, 0, 0}, CV_8UC3, {cv::IMWRITE_WEBP_QUALITY, lossless})},
      {"WebpLosslessTransparentBackground",
       OpenCvFile(".webp", {255, 255, 255, 0}, {255, 255, 255, 255}, CV_8UC4,
                  {cv::IMWRITE_WEBP_QUALITY, lossless})},
      {"WebpLossy",
       OpenCvFile(".webp", {0, 0, 0}, {255, 255, 255}, CV_8UC3, {cv::IMWRITE_WEBP_QUALITY, 50}),
       Marks::kShape, false, true},
  };
}

class MaskTable : public ::testing::TestWithParam<MaskCase> {};

TEST_P(MaskTable, MarksWhatTheFileStores) {
  const MaskCase& expected = GetParam();
  const Mask mask = DecodeMask(expected.file);
  EXPECT_EQ(mask.from_alpha, expected.from_alpha);
  EXPECT_EQ(mask.lossy, expected.lossy);
  const int scale = mask.width / kWidth;
  ASSERT_EQ(mask.width, kWidth * scale);
  ASSERT_EQ(mask.height, kHeight * scale);
  int wrong = 0;
  for (int y = 0; y < mask.height; ++y) {
    for (int x = 0; x < mask.width; ++x) {
      const bool in = InShape(x / scale, y / scale);
      const bool marked = expected.marks == Marks::kAll ||
                          (expected.marks == Marks::kShape && in) ||
                          (expected.marks == Marks::kOutside && !in);
      if (mask.pixels[size_t(mask.width) * y + x] != (marked ? 255 : 0)) ++wrong;
    }
  }
  // Lossy codecs may move an edge by a pixel.
  EXPECT_LE(wrong, expected.lossy ? 2 * scale * (7 + 5) : 0);
}

std::string CaseName(const ::testing::TestParamInfo<MaskCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Png, MaskTable, ::testing::ValuesIn(PngCases()), CaseName);
INSTANTIATE_TEST_SUITE_P(Others, MaskTable, ::testing::ValuesIn(OtherCases()), CaseName);

std::string Refusal(const Bytes& file, const ImageLimits& limits = {}) {
  try {
    DecodeMask(file, limits);
  } catch (const InvalidInput& error) {
    return error.reason() + ": " + error.what();
  }
  return "accepted";
}

TEST(DecodeMask, RefusesDamagedAndLargeFiles) {
  EXPECT_THAT(Refusal({}), HasSubstr("IMAGE_EMPTY"));
  EXPECT_THAT(Refusal({'n', 'o', ' ', 'm', 'a', 's', 'k'}), HasSubstr("IMAGE_FORMAT_UNSUPPORTED"));
  Bytes png = Png8(kGrey, {0}, {1});
  png[png.size() / 2] ^= 0xFF;
  EXPECT_THAT(Refusal(png), HasSubstr("IMAGE_DECODE_FAILED"));
  Bytes tiff = TiffSamples({.bits = 16}, {0}, {1});
  EXPECT_THAT(Refusal(Bytes(tiff.begin(), tiff.begin() + 100)), HasSubstr("IMAGE_DECODE_FAILED"));
  EXPECT_THAT(Refusal(tiff, {.max_side = kWidth - 1}), HasSubstr("IMAGE_TOO_LARGE"));
  EXPECT_THAT(Refusal(tiff, {.max_bytes = 20}), HasSubstr("IMAGE_BYTES_TOO_LARGE"));
  EXPECT_THAT(Refusal(Png8(kIndexed, {0}, {2}, kBlackThenRed)), HasSubstr("IMAGE_DECODE_FAILED"));
}

TEST(DecodeMask, RefusesSamplesThatAreNoNumbers) {
  const float nan = std::bit_cast<float>(uint32_t{0x7FC00000});
  EXPECT_THAT(Refusal(TiffSamples({.bits = 32, .format = 3}, {0}, {FloatBits(nan)})),
              HasSubstr("NaN"));
}

}  // namespace
}  // namespace proad::model
