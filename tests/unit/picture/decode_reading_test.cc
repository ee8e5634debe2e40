// What ImageReading decides: orientation tags and significant bits; and the colours of CMYK files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "model/files/error.h"
#include "model/picture/decode.h"
#include "model/picture/image_header.h"
#include "model/picture/orientation.h"
#include "tests/support/patterns.h"
#include "tests/support/picture_bytes.h"

namespace proad::model {
namespace {

using ::proad::test::Bytes;
using ::proad::test::EncodeFile;
using ::proad::test::LargestDifference;
using ::proad::test::Pattern;
using ::proad::test::PutBig;
using ::proad::test::PutLittle;
using ::proad::test::PutText;
using ::proad::test::ToBgr;
using ::testing::HasSubstr;

constexpr ImageReading kApply{.orientation = Orientation::kApply};

// ---------------------------------------------------------------- orientation

// A TIFF structure with the tag alone.
Bytes Exif(uint32_t orientation, bool big_endian = false, uint32_t type = 3) {
  Bytes out;
  const auto put = [&](uint32_t value, int bytes) {
    big_endian ? PutBig(out, value, bytes) : PutLittle(out, value, bytes);
  };
  PutText(out, big_endian ? "MM" : "II");
  put(42, 2);
  put(8, 4);
  put(1, 2);
  put(0x0112, 2);
  put(type, 2);
  put(1, 4);
  put(orientation, type == 4 ? 4 : 2);
  if (type != 4) put(0, 2);
  put(0, 4);
  return out;
}

Bytes Prefixed(const Bytes& exif) {
  Bytes out;
  PutText(out, std::string("Exif\0\0", 6));
  out.insert(out.end(), exif.begin(), exif.end());
  return out;
}

Bytes JpegWith(const Bytes& file, const Bytes& exif) {
  Bytes segment = {0xFF, 0xE1};
  PutBig(segment, static_cast<uint32_t>(exif.size() + 8), 2);
  const Bytes payload = Prefixed(exif);
  segment.insert(segment.end(), payload.begin(), payload.end());
  Bytes out = file;
  out.insert(out.begin() + 2, segment.begin(), segment.end());
  return out;
}

uint32_t Crc32(const Bytes& bytes) {
  uint32_t crc = 0xFFFFFFFF;
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc % 2 != 0 ? 0xEDB88320 : 0);
  }
  return ~crc;
}

// Adds a chunk after IHDR, or before IEND.
Bytes PngWith(const Bytes& file, const std::string& type, const Bytes& data, bool at_end = false) {
  Bytes chunk;
  PutText(chunk, type);
  chunk.insert(chunk.end(), data.begin(), data.end());
  const uint32_t crc = Crc32(chunk);
  Bytes whole;
  PutBig(whole, static_cast<uint32_t>(data.size()), 4);
  whole.insert(whole.end(), chunk.begin(), chunk.end());
  PutBig(whole, crc, 4);
  Bytes out = file;
  const auto at = at_end ? out.end() - 12 : out.begin() + 33;
  out.insert(at, whole.begin(), whole.end());
  return out;
}

// The extended format of WebP, with EXIF data after the image.
Bytes WebPWith(const Bytes& file, const Bytes& exif, int width, int height) {
  Bytes chunks;
  PutText(chunks, "WEBPVP8X");
  PutLittle(chunks, 10, 4);
  PutLittle(chunks, 0x08, 4);
  PutLittle(chunks, width - 1, 3);
  PutLittle(chunks, height - 1, 3);
  chunks.insert(chunks.end(), file.begin() + 12, file.end());
  PutText(chunks, "EXIF");
  PutLittle(chunks, static_cast<uint32_t>(exif.size()), 4);
  chunks.insert(chunks.end(), exif.begin(), exif.end());
  Bytes out;
  PutText(out, "RIFF");
  PutLittle(out, static_cast<uint32_t>(chunks.size()), 4);
  out.insert(out.end(), chunks.begin(), chunks.end());
  return out;
}

// The upright view, pixel by pixel.
Image Upright(const Image& stored, int orientation) {
  const int w = stored.width, h = stored.height;
  Image view{.width = orientation >= 5 ? h : w, .height = orientation >= 5 ? w : h};
  view.pixels.resize(stored.pixels.size());
  for (int y = 0; y < view.height; ++y) {
    for (int x = 0; x < view.width; ++x) {
      const std::vector<std::pair<int, int>> from = {
          {x, y}, {w - 1 - x, y}, {w - 1 - x, h - 1 - y}, {x, h - 1 - y},
          {y, x}, {y, h - 1 - x}, {w - 1 - y, h - 1 - x}, {w - 1 - y, x}};
      const auto [sx, sy] = from[orientation - 1];
      std::copy_n(&stored.pixels[3 * (w * sy + sx)], 3, &view.pixels[3 * (view.width * y + x)]);
    }
  }
  return view;
}

struct Container {
  const char* name;
  std::function<Bytes(const Bytes& exif)> file;  // of Pattern(7, 4)
};

std::vector<Container> Containers() {
  const Image image = Pattern(7, 4);
  const Bytes jpeg = EncodeFile(".jpg", ToBgr(image));
  const Bytes png = EncodeFile(".png", ToBgr(image));
  const Bytes webp = EncodeFile(".webp", ToBgr(image), {cv::IMWRITE_WEBP_QUALITY, 101});
  return {
      {"JPEG", [=](const Bytes& exif) { return JpegWith(jpeg, exif); }},
      {"PNG", [=](const Bytes& exif) { return PngWith(png, "eXIf", exif); }},
      {"PNG at its end", [=](const Bytes& exif) { return PngWith(png, "eXIf", exif, true); }},
      {"PNG with prefix", [=](const Bytes& exif) { return PngWith(png, "eXIf", Prefixed(exif)); }},
      {"WebP", [=](const Bytes& exif) { return WebPWith(webp, exif, 7, 4); }},
      {"WebP with prefix",
       [=](const Bytes& exif) { return WebPWith(webp, Prefixed(exif), 7, 4); }}};
}

TEST(DecodeOrientation, AppliesEveryValueInEveryFormat) {
  for (const Container& container : Containers()) {
    const Image stored = DecodeImage(container.file(Exif(1)));
    for (int orientation = 1; orientation <= 8; ++orientation) {
      for (const bool big_endian : {false, true}) {
        const Bytes file = container.file(Exif(orientation, big_endian));
        const Image view = Upright(stored, orientation);
        const std::string what = std::string(container.name) + " " + std::to_string(orientation);
        EXPECT_EQ(LargestDifference(DecodeImage(file, {}, kApply), view), 0) << what;
        EXPECT_EQ(ReadImageSize(file, kApply), (ImageSize{view.width, view.height})) << what;
        EXPECT_EQ(LargestDifference(DecodeImage(file), stored), 0) << what;
        EXPECT_EQ(ReadImageSize(file, {}), (ImageSize{7, 4})) << what;
        EXPECT_EQ(ReadOrientation(file, ReadImageHeader(file).format), orientation) << what;
      }
    }
  }
}

TEST(DecodeOrientation, TagsThatMeanNothingAreUpright) {
  const Bytes png = EncodeFile(".png", ToBgr(Pattern(7, 4)));
  Bytes cut = Exif(6);
  cut.resize(cut.size() - 12);
  Bytes foreign = Exif(6);
  foreign[0] = 'X';
  for (const Bytes& exif : {Exif(0), Exif(9), Exif(6, false, 2), cut, foreign, Bytes{}}) {
    const Bytes file = PngWith(png, "eXIf", exif);
    EXPECT_EQ(ReadOrientation(file, ImageFormat::kPng), 1);
    EXPECT_EQ(ReadImageSize(file, kApply), (ImageSize{7, 4}));
  }
  EXPECT_EQ(ReadOrientation(PngWith(png, "eXIf", Exif(6, false, 4)), ImageFormat::kPng), 6);
  EXPECT_EQ(ReadOrientation(EncodeFile(".bmp", ToBgr(Pattern(7, 4))), ImageFormat::kBmp), 1);
}

TEST(DecodeOrientation, TheMemoryOfTheTurnedImageCounts) {
  const Bytes jpeg = JpegWith(EncodeFile(".jpg", ToBgr(Pattern(7, 4))), Exif(6));
  EXPECT_EQ(DecodeBytes(jpeg), 5 * 28);
  EXPECT_EQ(DecodeBytes(jpeg, kApply), 6 * 28);
}

// ---------------------------------------------------------------- significant bits

Bytes Png16(const std::vector<uint16_t>& samples) {
  cv::Mat grey(1, static_cast<int>(samples.size()), CV_16U);
  std::copy(samples.begin(), samples.end(), grey.ptr<uint16_t>());
  return EncodeFile(".png", grey);
}

// The first channel.
Bytes Grey(const Image& image) {
  Bytes grey;
  for (size_t i = 0; i < image.pixels.size(); i += 3) grey.push_back(image.pixels[i]);
  return grey;
}

TEST(DecodeBits, StatedBitsAreScaledToWhite) {
  struct Case {
    int bits;
    std::vector<uint16_t> samples;
    Bytes expected;
  };
  const std::vector<Case> cases = {{10, {0, 2, 3, 512, 1023}, {0, 0, 1, 128, 255}},
                                   {12, {0, 8, 9, 2048, 4095}, {0, 0, 1, 128, 255}},
                                   {14, {0, 32, 33, 8192, 16383}, {0, 0, 1, 128, 255}},
                                   {16, {0, 128, 129, 32768, 65535}, {0, 0, 1, 128, 255}}};
  for (const Case& one : cases) {
    const ImageReading reading{.bits = one.bits};
    EXPECT_EQ(Grey(DecodeImage(Png16(one.samples), {}, reading)), one.expected) << one.bits;
    EXPECT_EQ(Grey(DecodeImage(EncodeFile(".tiff",
                                          [&] {
                                            cv::Mat grey(1, 5, CV_16U);
                                            std::copy(one.samples.begin(), one.samples.end(),
                                                      grey.ptr<uint16_t>());
                                            return grey;
                                          }()),
                               {}, reading)),
              one.expected)
        << one.bits;
  }
}

TEST(DecodeBits, SamplesAboveTheStatedBitsAreRefused) {
  try {
    DecodeImage(Png16({0, 4096}), {}, {.bits = 12});
    FAIL();
  } catch (const InvalidImage& error) {
    EXPECT_EQ(error.reason(), "IMAGE_BITS_EXCEEDED");
    EXPECT_THAT(error.what(), HasSubstr("4096"));
    EXPECT_THAT(error.what(), HasSubstr("4095"));
    EXPECT_THAT(error.what(), HasSubstr("image.bits"));
  }
}

TEST(DecodeBits, SamplesOfEightBitsStayAsTheyAre) {
  const Bytes file = EncodeFile(".png", ToBgr(Pattern(7, 4)));
  EXPECT_EQ(LargestDifference(DecodeImage(file, {}, {.bits = 10}), Pattern(7, 4)), 0);
}

// PNG says that samples with fewer significant bits are scaled to 16; some writers do not.
TEST(DecodeBits, TheChunkSbitIsUsedWhenTheSamplesAreNotScaled) {
  const std::vector<uint16_t> low = {0, 100, 2048, 3001, 4095};
  EXPECT_EQ(Grey(DecodeImage(PngWith(Png16(low), "sBIT", {12}))), (Bytes{0, 6, 128, 187, 255}));
  EXPECT_EQ(Grey(DecodeImage(Png16(low))), (Bytes{0, 0, 8, 12, 16})) << "no statement";
  EXPECT_EQ(Grey(DecodeImage(PngWith(Png16(low), "sBIT", {12}), {}, {.bits = 16})),
            (Bytes{0, 0, 8, 12, 16}))
      << "the option has precedence";
  EXPECT_EQ(Grey(DecodeImage(PngWith(Png16(low), "sBIT", {10}))), (Bytes{0, 0, 8, 12, 16}))
      << "an untrue statement";
}

TEST(DecodeBits, ScaledSamplesWithSbitStayAsTheyAre) {
  for (const int bits : {8, 10, 12, 14}) {
    for (const int most : {255, 40}) {  // a dark image has only small samples
      std::vector<uint16_t> shifted, repeated;
      for (int number = 0; number <= most; number += 5) {
        shifted.push_back(static_cast<uint16_t>(number << (16 - bits)));
        repeated.push_back(
            static_cast<uint16_t>(number << (16 - bits) | number >> std::max(0, 2 * bits - 16)));
      }
      for (const auto& samples : {shifted, repeated}) {
        const Bytes file = Png16(samples);
        EXPECT_EQ(
            LargestDifference(DecodeImage(PngWith(file, "sBIT", {static_cast<uint8_t>(bits)})),
                              DecodeImage(file)),
            0)
            << bits << " " << most;
      }
    }
  }
}

TEST(DecodeBits, OfEachColourTheMostAreUsed) {
  cv::Mat colours(1, 2, CV_16UC3);
  const std::vector<uint16_t> samples = {4095, 1000, 77, 0, 13, 4001};
  std::copy(samples.begin(), samples.end(), colours.ptr<uint16_t>());
  const Image image = DecodeImage(PngWith(EncodeFile(".png", colours), "sBIT", {10, 12, 11}));
  EXPECT_EQ(image.pixels, (Bytes{5, 62, 255, 249, 1, 0}));
}

// ---------------------------------------------------------------- CMYK

// 16 x 8 pixels in two colours, written by Pillow with Adobe's marker, its transform 0 (CMYK).
Bytes CmykJpeg() {
  const std::string bytes = absl::HexStringToBytes(
      "ffd8ffee000e41646f626500640000000000ffdb0043000201010101010201010102020202020403020202020504"
      "040304060506060605060606070908060709070606080b08090a0a0a0a0a06080b0c0b0a0c090a0a0affc0001408"
      "00080010044311004d11005911004b1100ffc400160001010100000000000000000000000000090a07ffc4001410"
      "0100000000000000000000000000000000ffda000e0443004d0059004b00003f006b06d90c30897f57c30712efff"
      "d9");
  return Bytes(bytes.begin(), bytes.end());
}

// The colours as Pillow converts the file to RGB.
void ExpectColours(const Bytes& file, const Bytes& left, const Bytes& right) {
  const Image image = DecodeImage(file);
  ASSERT_EQ(image.width, 16);
  ASSERT_EQ(image.height, 8);
  for (int c = 0; c < 3; ++c) {
    EXPECT_LE(std::abs(image.pixels[3 * (16 * 3 + 2) + c] - left[c]), 2) << c;
    EXPECT_LE(std::abs(image.pixels[3 * (16 * 5 + 13) + c] - right[c]), 2) << c;
  }
}

TEST(DecodeCmyk, IsConvertedAsPillowDoes) {
  const Bytes cmyk = CmykJpeg();
  ExpectColours(cmyk, {207, 49, 172}, {40, 130, 87});
  Bytes ycck = cmyk;
  ycck[17] = 2;
  ExpectColours(ycck, {0, 38, 131}, {68, 131, 0});
  Bytes unmarked = cmyk;
  unmarked.erase(unmarked.begin() + 2, unmarked.begin() + 18);
  ExpectColours(unmarked, {207, 49, 172}, {40, 130, 87});
}

TEST(DecodeCmyk, TruncatedFilesAreRefused) {
  const Bytes file = CmykJpeg();
  for (size_t size = 1; size < file.size(); ++size) {
    EXPECT_EQ(test::DecodeError(Bytes(file.begin(), file.begin() + size)).reason(),
              "IMAGE_DECODE_FAILED")
        << size;
  }
}

}  // namespace
}  // namespace proad::model
