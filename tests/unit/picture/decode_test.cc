#include "model/picture/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <ostream>
#include <string>
#include <vector>

#include "model/files/error.h"
#include "tests/support/patterns.h"
#include "tests/support/picture_bytes.h"

namespace proad::model {
namespace {

using ::proad::test::Bytes;
using ::proad::test::DecodeError;
using ::proad::test::EncodeFile;
using ::proad::test::LargestDifference;
using ::proad::test::Pattern;
using ::proad::test::PutBig;
using ::proad::test::PutLittle;
using ::proad::test::PutText;
using ::proad::test::ToBgr;
using ::testing::HasSubstr;

Image Grey(const Image& image) {
  Image grey = image;
  for (size_t i = 0; i < grey.pixels.size(); i += 3) {
    grey.pixels[i + 1] = grey.pixels[i + 2] = grey.pixels[i];
  }
  return grey;
}

cv::Mat FirstChannel(const Image& image) {
  cv::Mat red;
  cv::extractChannel(ToBgr(image), red, 2);
  return red;
}

cv::Mat Widened(const cv::Mat& samples) {
  cv::Mat wide;
  samples.convertTo(wide, CV_16U, 257);
  return wide;
}

cv::Mat WithAlpha(const Image& image) {
  cv::Mat bgra;
  cv::cvtColor(ToBgr(image), bgra, cv::COLOR_BGR2BGRA);
  for (int y = 0; y < bgra.rows; ++y) {
    for (int x = 0; x < bgra.cols; ++x)
      bgra.at<cv::Vec4b>(y, x)[3] = static_cast<uint8_t>(1 + 3 * x);
  }
  return bgra;
}

// ---------------------------------------------------------------- what is accepted

struct Accepted {
  std::string name;
  std::string extension;
  std::function<cv::Mat(const Image&)> samples;
  bool grey = false;
  int tolerance = 0;
  std::vector<int> options;
};

void PrintTo(const Accepted& accepted, std::ostream* out) { *out << accepted.name; }

class AcceptedFormat : public testing::TestWithParam<Accepted> {
 protected:
  Bytes File(const Image& image) const {
    return EncodeFile(GetParam().extension, GetParam().samples(image), GetParam().options);
  }
};

TEST_P(AcceptedFormat, GivesTheStoredPixels) {
  const Image image = Pattern(61, 34);
  const Image decoded = DecodeImage(File(image));
  EXPECT_EQ(decoded.width, 61);
  EXPECT_EQ(decoded.height, 34);
  EXPECT_LE(LargestDifference(decoded, GetParam().grey ? Grey(image) : image),
            GetParam().tolerance);
}

// A truncated file must never decode to an image with a grey or black part.
TEST_P(AcceptedFormat, RefusesEveryTruncation) {
  const Bytes file = File(Pattern(61, 34));
  const Image whole = DecodeImage(file);
  for (size_t size = 1; size < file.size();
       size += size < 200 || size + 200 > file.size() ? 1 : 7) {
    const Bytes cut(file.begin(), file.begin() + size);
    const InvalidInput error = DecodeError(cut);
    if (error.reason().empty()) {
      EXPECT_EQ(LargestDifference(DecodeImage(cut), whole), 0) << "cut to " << size << " bytes";
    } else {
      EXPECT_EQ(error.field(), "encoded");
      EXPECT_EQ(error.reason(), "IMAGE_DECODE_FAILED") << "cut to " << size << ": " << error.what();
    }
  }
}

TEST_P(AcceptedFormat, IgnoresTrailingBytes) {
  Bytes file = File(Pattern(61, 34));
  const Image whole = DecodeImage(file);
  file.insert(file.end(), 100, 0);
  EXPECT_EQ(LargestDifference(DecodeImage(file), whole), 0);
}

// Limits apply to the size that the header states, for every format.
TEST_P(AcceptedFormat, AppliesLimitsExactly) {
  const Bytes file = File(Pattern(61, 34));
  const auto size = static_cast<int64_t>(file.size());
  EXPECT_NO_THROW(DecodeImage(file, {.max_bytes = size, .max_pixels = 61 * 34, .max_side = 61}));

  const InvalidInput bytes = DecodeError(file, {.max_bytes = size - 1});
  EXPECT_EQ(bytes.reason(), "IMAGE_BYTES_TOO_LARGE");
  EXPECT_THAT(bytes.what(), HasSubstr(std::to_string(size - 1)));
  EXPECT_THAT(bytes.what(), HasSubstr("image.max_bytes"));

  const InvalidInput pixels = DecodeError(file, {.max_pixels = 61 * 34 - 1});
  EXPECT_EQ(pixels.field(), "encoded");
  EXPECT_EQ(pixels.reason(), "IMAGE_TOO_LARGE");
  EXPECT_THAT(pixels.what(), HasSubstr("61 x 34"));
  EXPECT_THAT(pixels.what(), HasSubstr(std::to_string(61 * 34 - 1)));
  EXPECT_THAT(pixels.what(), HasSubstr("image.max_pixels"));

  const InvalidInput side = DecodeError(file, {.max_side = 60});
  EXPECT_EQ(side.reason(), "IMAGE_TOO_LARGE");
  EXPECT_THAT(side.what(), HasSubstr("at most 60 pixels a side"));
  EXPECT_THAT(side.what(), HasSubstr("image.max_side"));
}

const std::vector<int> kBestJpeg = {cv::IMWRITE_JPEG_QUALITY, 100};
const std::vector<int> kProgressive = {cv::IMWRITE_JPEG_QUALITY, 100, cv::IMWRITE_JPEG_PROGRESSIVE,
                                       1};
const std::vector<int> kRestarts = {cv::IMWRITE_JPEG_QUALITY, 100, cv::IMWRITE_JPEG_RST_INTERVAL,
                                    2};
std::vector<int> TiffCompression(int scheme) { return {cv::IMWRITE_TIFF_COMPRESSION, scheme}; }

INSTANTIATE_TEST_SUITE_P(
    Formats, AcceptedFormat,
    testing::Values(
        Accepted{"Jpeg", ".jpg", ToBgr, false, 6, kBestJpeg},
        Accepted{"JpegGrey", ".jpg", FirstChannel, true, 2, kBestJpeg},
        Accepted{"JpegProgressive", ".jpg", ToBgr, false, 6, kProgressive},
        Accepted{"JpegRestarts", ".jpg", ToBgr, false, 6, kRestarts},
        Accepted{"Png", ".png", ToBgr},  //
        Accepted{"PngGrey", ".png", FirstChannel, true}, Accepted{"PngRgba", ".png", WithAlpha},
        Accepted{"Png16", ".png", [](const Image& image) { return Widened(ToBgr(image)); }},
        Accepted{"PngGrey16", ".png",
                 [](const Image& image) { return Widened(FirstChannel(image)); }, true},
        Accepted{"PngRgba16", ".png", [](const Image& image) { return Widened(WithAlpha(image)); }},
        Accepted{"Bmp", ".bmp", ToBgr},  //
        Accepted{"BmpGrey", ".bmp", FirstChannel, true}, Accepted{"BmpRgba", ".bmp", WithAlpha},
        Accepted{"TiffLzw", ".tiff", ToBgr, false, 0, TiffCompression(5)},
        Accepted{"TiffDeflate", ".tiff", ToBgr, false, 0, TiffCompression(8)},
        Accepted{"TiffPackBits", ".tiff", ToBgr, false, 0, TiffCompression(32773)},
        Accepted{"TiffPlain", ".tiff", ToBgr, false, 0, TiffCompression(1)},
        Accepted{"TiffGrey", ".tiff", FirstChannel, true}, Accepted{"TiffRgba", ".tiff", WithAlpha},
        Accepted{"Tiff16", ".tiff", [](const Image& image) { return Widened(ToBgr(image)); }},
        Accepted{"TiffGrey16", ".tiff",
                 [](const Image& image) { return Widened(FirstChannel(image)); }, true},
        Accepted{"WebpLossless", ".webp", ToBgr, false, 0, {cv::IMWRITE_WEBP_QUALITY, 101}},
        Accepted{"WebpLossy", ".webp", ToBgr, false, 12, {cv::IMWRITE_WEBP_QUALITY, 95}},
        Accepted{"WebpRgba", ".webp", WithAlpha, false, 0, {cv::IMWRITE_WEBP_QUALITY, 101}}),
    [](const auto& parameter) { return parameter.param.name; });

TEST(DecodeImage, RoundsSixteenBitsToEight) {
  cv::Mat samples(1, 5, CV_16U);
  const uint16_t values[] = {0, 128, 129, 65406, 65535};
  std::copy(std::begin(values), std::end(values), samples.ptr<uint16_t>());
  const Image image = DecodeImage(EncodeFile(".png", samples));
  const Bytes expected = {0, 0, 0, 0, 0, 0, 1, 1, 1, 254, 254, 254, 255, 255, 255};
  EXPECT_EQ(image.pixels, expected);
}

TEST(DecodeImage, EverySixteenBitValueIsScaledToTheNearest) {
  for (int value = 0; value <= 65535; ++value) {
    const int expected = static_cast<int>(value / 257.0 + 0.5);
    ASSERT_EQ(ScaleTo8Bit(static_cast<uint16_t>(value)), expected) << value;
  }
}

// ---------------------------------------------------------------- files made by hand

// Adds an EXIF segment with an orientation tag.
Bytes WithExifOrientation(const Bytes& jpeg, uint8_t orientation) {
  Bytes exif = {0xFF, 0xE1};
  PutBig(exif, 34, 2);
  PutText(exif, std::string("Exif\0\0", 6));
  PutText(exif, std::string("II*\0\x08\0\0\0", 8));
  PutLittle(exif, 1, 2);
  PutLittle(exif, 0x0112, 2);
  PutLittle(exif, 3, 2);
  PutLittle(exif, 1, 4);
  PutLittle(exif, orientation, 4);
  PutLittle(exif, 0, 4);
  Bytes file = jpeg;
  file.insert(file.begin() + 2, exif.begin(), exif.end());  // after the start-of-image marker
  return file;
}

TEST(DecodeImage, ExifOrientationIsIgnored) {
  const Bytes jpeg = EncodeFile(".jpg", ToBgr(Pattern(61, 34)));
  const Bytes turned = WithExifOrientation(jpeg, 6);
  ASSERT_EQ(cv::imdecode(turned, cv::IMREAD_COLOR).cols, 34) << "the tag is not seen by OpenCV";
  EXPECT_EQ(LargestDifference(DecodeImage(turned), DecodeImage(jpeg)), 0);
}

// A BMP header without the pixels.
Bytes BmpHeader(int32_t width, int32_t height, uint16_t bits, uint32_t compression = 0) {
  Bytes out;
  PutText(out, "BM");
  PutLittle(out, 0, 4);
  PutLittle(out, 0, 4);
  PutLittle(out, 54, 4);
  PutLittle(out, 40, 4);
  PutLittle(out, width, 4);
  PutLittle(out, height, 4);
  PutLittle(out, 1, 2);
  PutLittle(out, bits, 2);
  PutLittle(out, compression, 4);
  for (int i = 0; i < 5; ++i) PutLittle(out, 0, 4);
  return out;
}

TEST(DecodeBmp, NegativeHeightMeansTopDown) {
  Bytes file = BmpHeader(2, -2, 24);
  const Bytes rows = {3, 2, 1, 6, 5, 4, 0, 0, 9, 8, 7, 12, 11, 10, 0, 0};
  file.insert(file.end(), rows.begin(), rows.end());
  EXPECT_EQ(DecodeImage(file).pixels, (Bytes{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
}

TEST(DecodeBmp, CoreHeader) {
  Bytes file;
  PutText(file, "BM");
  PutLittle(file, 0, 4);
  PutLittle(file, 0, 4);
  PutLittle(file, 26, 4);
  PutLittle(file, 12, 4);
  for (const uint32_t value : {1, 1, 1, 24}) PutLittle(file, value, 2);
  PutLittle(file, 0x030201, 4);
  EXPECT_EQ(DecodeImage(file).pixels, (Bytes{3, 2, 1}));
}

TEST(DecodeBmp, NamesUnsupportedVariants) {
  const InvalidInput packed = DecodeError(BmpHeader(4, 4, 8, 1));
  EXPECT_EQ(packed.reason(), "IMAGE_FORMAT_UNSUPPORTED");
  EXPECT_THAT(packed.what(), HasSubstr("compression 1"));
  const InvalidInput bits = DecodeError(BmpHeader(4, 4, 16));
  EXPECT_EQ(bits.reason(), "IMAGE_FORMAT_UNSUPPORTED");
  EXPECT_THAT(bits.what(), HasSubstr("16 bits a pixel"));
  EXPECT_EQ(DecodeError(BmpHeader(0, 4, 24)).reason(), "IMAGE_EMPTY");
  EXPECT_EQ(DecodeError(BmpHeader(-4, 4, 24)).reason(), "IMAGE_DECODE_FAILED");
  EXPECT_EQ(DecodeError(BmpHeader(4, INT32_MIN, 24)).reason(), "IMAGE_TOO_LARGE");
}

// ---------------------------------------------------------------- what is refused

// A PNG whose header states `side` x `side` pixels, with only 40 KB of data.
Bytes BombPng(uint32_t side) {
  Bytes file = EncodeFile(".png", ToBgr(Pattern(200, 200)), {cv::IMWRITE_PNG_COMPRESSION, 0});
  Bytes claim;
  PutBig(claim, side, 4);
  PutBig(claim, side, 4);
  std::copy(claim.begin(), claim.end(), file.begin() + 16);
  file.resize(40 << 10);
  return file;
}

TEST(DecodeImage, RefusesABombByItsHeader) {
  const InvalidInput error = DecodeError(BombPng(60'000));
  EXPECT_EQ(error.field(), "encoded");
  EXPECT_EQ(error.reason(), "IMAGE_TOO_LARGE");
  EXPECT_THAT(error.what(), HasSubstr("60000 x 60000"));
  EXPECT_THAT(error.what(), HasSubstr("20000 pixels a side"));
}

TEST(DecodeImage, RefusesABombByItsNumberOfPixels) {
  const InvalidInput error = DecodeError(BombPng(19'000));
  EXPECT_EQ(error.reason(), "IMAGE_TOO_LARGE");
  EXPECT_THAT(error.what(), HasSubstr("64000000 pixels"));
}

TEST(DecodeImage, RefusesEmptyAndForeignBytes) {
  const InvalidInput empty = DecodeError({});
  EXPECT_EQ(empty.field(), "encoded");
  EXPECT_EQ(empty.reason(), "IMAGE_EMPTY");
  const InvalidInput gif = DecodeError({'G', 'I', 'F', '8', '9', 'a', 0, 0, 0, 0});
  EXPECT_EQ(gif.reason(), "IMAGE_FORMAT_UNSUPPORTED");
  EXPECT_THAT(gif.what(), HasSubstr("JPEG, PNG, BMP, TIFF or WebP"));
  EXPECT_THAT(gif.what(), HasSubstr("47 49 46"));
  EXPECT_EQ(DecodeError(Bytes(1000, 0)).reason(), "IMAGE_FORMAT_UNSUPPORTED");
}

TEST(DecodeImage, RefusesAnImageWithoutPixels) {
  const InvalidInput error = DecodeError(BombPng(0));
  EXPECT_EQ(error.reason(), "IMAGE_EMPTY");
  EXPECT_THAT(error.what(), HasSubstr("0 columns"));
}

TEST(DecodeImage, RefusesDamagedPixels) {
  Bytes png = EncodeFile(".png", ToBgr(test::Noise(64, 64)));
  png[png.size() / 2] ^= 0xFF;
  EXPECT_EQ(DecodeError(png).reason(), "IMAGE_DECODE_FAILED");
}

// The codec must use the header against which the limits were checked.
TEST(DecodeImage, RefusesJpegWithASecondFrameHeader) {
  const Bytes small = EncodeFile(".jpg", ToBgr(Pattern(16, 16)));
  const Bytes large = EncodeFile(".jpg", ToBgr(Pattern(64, 64)));
  Bytes both(small.begin(), small.end() - 2);
  both.insert(both.end(), large.begin() + 2, large.end());
  const InvalidInput error = DecodeError(both);
  EXPECT_EQ(error.reason(), "IMAGE_DECODE_FAILED");
  EXPECT_THAT(error.what(), HasSubstr("two frame headers"));
}

TEST(DecodeImage, NamesUnsupportedKindsOfJpeg) {
  Bytes jpeg = EncodeFile(".jpg", ToBgr(Pattern(16, 16)));
  const Bytes sof0 = {0xFF, 0xC0, 0, 17, 8};
  const auto at = std::search(jpeg.begin(), jpeg.end(), sof0.begin(), sof0.end());
  ASSERT_NE(at, jpeg.end());
  at[4] = 12;
  const InvalidInput bits = DecodeError(jpeg);
  EXPECT_EQ(bits.reason(), "IMAGE_FORMAT_UNSUPPORTED");
  EXPECT_THAT(bits.what(), HasSubstr("12 bits a sample"));
  at[4] = 8;
  at[1] = 0xC9;
  const InvalidInput arithmetic = DecodeError(jpeg);
  EXPECT_EQ(arithmetic.reason(), "IMAGE_FORMAT_UNSUPPORTED");
  EXPECT_THAT(arithmetic.what(), HasSubstr("arithmetic"));
}

TEST(DecodeImage, RefusesJpegWithTooManyScans) {
  const Bytes jpeg = EncodeFile(".jpg", ToBgr(Pattern(16, 16)), kProgressive);
  const Bytes sos = {0xFF, 0xDA};
  const auto last = std::find_end(jpeg.begin(), jpeg.end(), sos.begin(), sos.end());
  Bytes file(jpeg.begin(), jpeg.end() - 2);
  for (int i = 0; i < 200; ++i) file.insert(file.end(), last, jpeg.end() - 2);
  file.insert(file.end(), jpeg.end() - 2, jpeg.end());
  const InvalidInput error = DecodeError(file);
  EXPECT_EQ(error.reason(), "IMAGE_DECODE_FAILED");
  EXPECT_THAT(error.what(), HasSubstr("100 scans"));
}

TEST(DecodeBytes, CoverTheResultAndTheCodec) {
  const cv::Mat bgr = ToBgr(Pattern(40, 30));
  cv::Mat deep;
  bgr.convertTo(deep, CV_16U, 257);
  constexpr int64_t kPixels = 40 * 30;
  EXPECT_EQ(DecodeBytes(EncodeFile(".jpg", bgr)), 5 * kPixels);
  EXPECT_EQ(DecodeBytes(EncodeFile(".jpg", bgr, kProgressive)), 11 * kPixels);
  EXPECT_EQ(DecodeBytes(EncodeFile(".png", bgr)), 5 * kPixels);
  EXPECT_EQ(DecodeBytes(EncodeFile(".png", deep)), 10 * kPixels);
  EXPECT_EQ(DecodeBytes(EncodeFile(".tif", deep)), MaxDecodeBytes(kPixels));
}

TEST(DecodeBytes, OfARefusedFileAreZero) {
  EXPECT_EQ(DecodeBytes({}), 0);
  EXPECT_EQ(DecodeBytes(Bytes(1000, 0)), 0);
}

}  // namespace
}  // namespace proad::model
