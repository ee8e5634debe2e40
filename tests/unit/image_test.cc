#include "model/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <string>

#include "model/error.h"
#include "tests/support/patterns.h"

namespace proad::model {
namespace {

using ::proad::test::EncodeFile;
using ::proad::test::Pattern;
using ::proad::test::ToBgr;
using ::testing::HasSubstr;

using Bytes = std::vector<uint8_t>;

// The error that decoding ends with; reason "" when there is none.
InvalidInput DecodeError(const Bytes& bytes, const ImageLimits& limits = {}) {
  try {
    DecodeImage(bytes, limits);
  } catch (const InvalidInput& error) {
    return error;
  }
  return {"", "", "decoded"};
}

int LargestDifference(const Image& a, const Image& b) {
  if (a.width != b.width || a.height != b.height || a.pixels.size() != b.pixels.size()) return 256;
  int largest = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    largest = std::max(largest, std::abs(a.pixels[i] - b.pixels[i]));
  }
  return largest;
}

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

// A truncated picture must never look like a picture with a grey or black part.
TEST_P(AcceptedFormat, NoTruncationPasses) {
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

TEST_P(AcceptedFormat, TrailingBytesDoNoHarm) {
  Bytes file = File(Pattern(61, 34));
  const Image whole = DecodeImage(file);
  file.insert(file.end(), 100, 0);
  EXPECT_EQ(LargestDifference(DecodeImage(file), whole), 0);
}

// Limits speak of what a file claims, so its one pixel too many is refused whatever the format.
TEST_P(AcceptedFormat, LimitsHoldToThePixel) {
  const Bytes file = File(Pattern(61, 34));
  const auto size = static_cast<int64_t>(file.size());
  EXPECT_NO_THROW(DecodeImage(file, {.max_bytes = size, .max_pixels = 61 * 34, .max_side = 61}));

  const InvalidInput bytes = DecodeError(file, {.max_bytes = size - 1});
  EXPECT_EQ(bytes.reason(), "IMAGE_BYTES_TOO_LARGE");
  EXPECT_THAT(bytes.what(), HasSubstr(std::to_string(size - 1)));

  const InvalidInput pixels = DecodeError(file, {.max_pixels = 61 * 34 - 1});
  EXPECT_EQ(pixels.field(), "encoded");
  EXPECT_EQ(pixels.reason(), "IMAGE_TOO_LARGE");
  EXPECT_THAT(pixels.what(), HasSubstr("61 x 34"));
  EXPECT_THAT(pixels.what(), HasSubstr(std::to_string(61 * 34 - 1)));

  const InvalidInput side = DecodeError(file, {.max_side = 60});
  EXPECT_EQ(side.reason(), "IMAGE_TOO_LARGE");
  EXPECT_THAT(side.what(), HasSubstr("at most 60 pixels a side"));
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

TEST(DecodeImage, SixteenBitIsRoundedToEight) {
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

void PutLittle(Bytes& out, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<uint8_t>(value >> 8 * i));
}
void PutBig(Bytes& out, uint32_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<uint8_t>(value >> 8 * i));
}
void PutText(Bytes& out, const std::string& text) {
  out.insert(out.end(), text.begin(), text.end());
}

// A JPEG with an EXIF segment whose orientation tag says: turn by 90 degrees.
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

// An uncompressed TIFF file of one strip; tags can be changed and added before it is written.
struct Tiff {
  struct Field {
    uint32_t type = 3;
    std::vector<uint32_t> values;
  };
  std::map<uint32_t, Field> fields;
  Bytes samples;
  bool big_endian = false;

  // RGB when `channels` is 3, RGBA when 4, grey when 1.
  Tiff(int width, int height, int channels, Bytes data, int bits = 8) : samples(std::move(data)) {
    fields[256] = {3, {uint32_t(width)}};
    fields[257] = {3, {uint32_t(height)}};
    fields[258] = {3, std::vector<uint32_t>(channels, bits)};
    fields[259] = {3, {1}};
    fields[262] = {3, {channels == 1 ? 1u : 2u}};
    fields[273] = {4, {8}};
    fields[277] = {3, {uint32_t(channels)}};
    fields[278] = {3, {uint32_t(height)}};
    fields[279] = {4, {uint32_t(samples.size())}};
  }

  void Put(Bytes& out, uint32_t value, int bytes) const {
    big_endian ? PutBig(out, value, bytes) : PutLittle(out, value, bytes);
  }

  Bytes File() const {
    Bytes out;
    PutText(out, big_endian ? "MM" : "II");
    Put(out, 42, 2);
    Put(out, 8 + samples.size() + samples.size() % 2, 4);
    out.insert(out.end(), samples.begin(), samples.end());
    if (samples.size() % 2 != 0) out.push_back(0);
    size_t extra_at = out.size() + 2 + 12 * fields.size() + 4;
    Bytes extra;
    Put(out, fields.size(), 2);
    for (const auto& [tag, field] : fields) {
      const int width = field.type == 4 ? 4 : field.type == 1 ? 1 : 2;
      Put(out, tag, 2);
      Put(out, field.type, 2);
      Put(out, field.values.size(), 4);
      Bytes values;
      for (const uint32_t value : field.values) Put(values, value, width);
      if (values.size() > 4) {
        Put(out, extra_at + extra.size(), 4);
        extra.insert(extra.end(), values.begin(), values.end());
      } else {
        values.resize(4);
        out.insert(out.end(), values.begin(), values.end());
      }
    }
    Put(out, 0, 4);
    out.insert(out.end(), extra.begin(), extra.end());
    return out;
  }
};

TEST(DecodeTiff, OrientationTagIsIgnored) {
  const Image image = Pattern(7, 4);
  for (const bool big_endian : {false, true}) {
    for (uint32_t orientation = 1; orientation <= 8; ++orientation) {
      Tiff tiff(7, 4, 3, image.pixels);
      tiff.big_endian = big_endian;
      tiff.fields[274] = {3, {orientation}};
      EXPECT_EQ(LargestDifference(DecodeImage(tiff.File()), image), 0) << orientation;
    }
  }
}

TEST(DecodeTiff, AlphaOfAnyKindIsDropped) {
  const Image image = Pattern(7, 4);
  Bytes rgba;
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    rgba.insert(rgba.end(), &image.pixels[i], &image.pixels[i] + 3);
    rgba.push_back(static_cast<uint8_t>(i));
  }
  for (const uint32_t kind : {0, 1, 2}) {
    Tiff tiff(7, 4, 4, rgba);
    tiff.fields[338] = {3, {kind}};
    EXPECT_EQ(LargestDifference(DecodeImage(tiff.File()), image), 0) << kind;
  }
}

TEST(DecodeTiff, BigEndianSixteenBit) {
  Bytes samples;
  for (const uint32_t value : {0, 257, 0x1234, 65535}) PutBig(samples, value, 2);
  Tiff tiff(2, 2, 1, samples, 16);
  tiff.big_endian = true;
  const Bytes expected = {0, 0, 0, 1, 1, 1, 18, 18, 18, 255, 255, 255};
  EXPECT_EQ(DecodeImage(tiff.File()).pixels, expected);
}

TEST(DecodeTiff, WhiteAtZero) {
  Tiff tiff(2, 1, 1, {0, 200});
  tiff.fields[262] = {3, {0}};
  EXPECT_EQ(DecodeImage(tiff.File()).pixels, (Bytes{255, 255, 255, 55, 55, 55}));
}

TEST(DecodeTiff, Palette) {
  Tiff tiff(3, 1, 1, {0, 1, 255});
  tiff.fields[262] = {3, {3}};
  std::vector<uint32_t> colours(768, 0);
  colours[0] = 10 * 257;          // red of 0
  colours[256 + 1] = 20 * 257;    // green of 1
  colours[512 + 255] = 30 * 257;  // blue of 255
  tiff.fields[320] = {3, colours};
  EXPECT_EQ(DecodeImage(tiff.File()).pixels, (Bytes{10, 0, 0, 0, 20, 0, 0, 0, 30}));
}

struct BadTiff {
  std::string name;
  std::function<void(Tiff&)> change;
  std::string reason;
  std::string words;
};

void PrintTo(const BadTiff& bad, std::ostream* out) { *out << bad.name; }

class RefusedTiff : public testing::TestWithParam<BadTiff> {};

TEST_P(RefusedTiff, IsRefusedByName) {
  Tiff tiff(6, 4, 3, Pattern(6, 4).pixels);
  GetParam().change(tiff);
  const InvalidInput error = DecodeError(tiff.File());
  EXPECT_EQ(error.field(), "encoded");
  EXPECT_EQ(error.reason(), GetParam().reason) << error.what();
  EXPECT_THAT(error.what(), HasSubstr(GetParam().words));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, RefusedTiff,
    testing::Values(BadTiff{"Float",
                            [](Tiff& tiff) {
                              tiff.fields[258] = {3, {32, 32, 32}};
                              tiff.fields[339] = {3, {3, 3, 3}};
                            },
                            "IMAGE_FORMAT_UNSUPPORTED",
                            "32 bit floating-point samples are not supported; 8 or 16 bit"},
                    BadTiff{"Signed",
                            [](Tiff& tiff) {
                              tiff.fields[339] = {3, {2, 2, 2}};
                            },
                            "IMAGE_FORMAT_UNSUPPORTED", "8 bit signed"},
                    BadTiff{"Bits32",
                            [](Tiff& tiff) {
                              tiff.fields[258] = {3, {32, 32, 32}};
                            },
                            "IMAGE_FORMAT_UNSUPPORTED", "32 bit unsigned"},
                    BadTiff{"MixedBits",
                            [](Tiff& tiff) {
                              tiff.fields[258] = {3, {8, 16, 8}};
                            },
                            "IMAGE_FORMAT_UNSUPPORTED", "different kinds"},
                    BadTiff{"Jpeg",
                            [](Tiff& tiff) {
                              tiff.fields[259] = {3, {7}};
                            },
                            "IMAGE_FORMAT_UNSUPPORTED", "compression 7"},
                    BadTiff{"Planes",
                            [](Tiff& tiff) {
                              tiff.fields[284] = {3, {2}};
                            },
                            "IMAGE_FORMAT_UNSUPPORTED", "separate colour planes"},
                    BadTiff{"Cmyk",
                            [](Tiff& tiff) {
                              tiff.fields[262] = {3, {5}};
                            },
                            "IMAGE_FORMAT_UNSUPPORTED", "photometric interpretation 5"},
                    BadTiff{"HugeTile",
                            [](Tiff& tiff) {
                              tiff.fields[322] = {4, {1u << 20}};
                              tiff.fields[323] = {4, {1u << 20}};
                            },
                            "IMAGE_FORMAT_UNSUPPORTED", "tiles"},
                    BadTiff{"NoRows",
                            [](Tiff& tiff) {
                              tiff.fields[257] = {3, {0}};
                            },
                            "IMAGE_EMPTY", "6 columns and 0 rows"},
                    BadTiff{"HugeHeight",
                            [](Tiff& tiff) {
                              tiff.fields[257] = {4, {4000000000u}};
                            },
                            "IMAGE_DECODE_FAILED", "strips"},
                    BadTiff{"Wide",
                            [](Tiff& tiff) {
                              tiff.fields[256] = {4, {60000}};
                            },
                            "IMAGE_TOO_LARGE", "60000 x 4"},
                    BadTiff{"ShortStrip",
                            [](Tiff& tiff) {
                              tiff.fields[279] = {4, {71}};
                            },
                            "IMAGE_DECODE_FAILED", "71 bytes instead of 72"},
                    BadTiff{"StripOutside",
                            [](Tiff& tiff) {
                              tiff.fields[273] = {4, {0xFFFFFFF0}};
                            },
                            "IMAGE_DECODE_FAILED", "truncated"},
                    BadTiff{"MissingStrips",
                            [](Tiff& tiff) {
                              tiff.fields[278] = {3, {1}};
                            },
                            "IMAGE_DECODE_FAILED", "4 strips"},
                    BadTiff{"NoWidth", [](Tiff& tiff) { tiff.fields.erase(256); },
                            "IMAGE_DECODE_FAILED", "tag 256 is missing"},
                    BadTiff{"StrangeType", [](Tiff& tiff) { tiff.fields[256].type = 11; },
                            "IMAGE_DECODE_FAILED", "tag 256 is of type 11"}),
    [](const auto& parameter) { return parameter.param.name; });

TEST(DecodeTiff, BigTiffIsRefusedByName) {
  const InvalidInput error = DecodeError({'I', 'I', 43, 0, 8, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_EQ(error.reason(), "IMAGE_FORMAT_UNSUPPORTED");
  EXPECT_THAT(error.what(), HasSubstr("BigTIFF"));
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

TEST(DecodeBmp, WhatIsNotSupportedIsRefusedByName) {
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

// A PNG whose header claims `side` x `side` pixels, with 40 KB of data that would never fill them.
Bytes BombPng(uint32_t side) {
  Bytes file = EncodeFile(".png", ToBgr(Pattern(200, 200)), {cv::IMWRITE_PNG_COMPRESSION, 0});
  Bytes claim;
  PutBig(claim, side, 4);
  PutBig(claim, side, 4);
  std::copy(claim.begin(), claim.end(), file.begin() + 16);
  file.resize(40 << 10);
  return file;
}

TEST(DecodeImage, ABombIsRefusedByItsHeader) {
  const InvalidInput error = DecodeError(BombPng(60'000));
  EXPECT_EQ(error.field(), "encoded");
  EXPECT_EQ(error.reason(), "IMAGE_TOO_LARGE");
  EXPECT_THAT(error.what(), HasSubstr("60000 x 60000"));
  EXPECT_THAT(error.what(), HasSubstr("20000 pixels a side"));
}

TEST(DecodeImage, ABombWithinTheSideLimitIsRefusedByItsPixels) {
  const InvalidInput error = DecodeError(BombPng(19'000));
  EXPECT_EQ(error.reason(), "IMAGE_TOO_LARGE");
  EXPECT_THAT(error.what(), HasSubstr("64000000 pixels"));
}

TEST(DecodeImage, EmptyAndForeignBytes) {
  const InvalidInput empty = DecodeError({});
  EXPECT_EQ(empty.field(), "encoded");
  EXPECT_EQ(empty.reason(), "IMAGE_EMPTY");
  const InvalidInput gif = DecodeError({'G', 'I', 'F', '8', '9', 'a', 0, 0, 0, 0});
  EXPECT_EQ(gif.reason(), "IMAGE_FORMAT_UNSUPPORTED");
  EXPECT_THAT(gif.what(), HasSubstr("JPEG, PNG, BMP, TIFF or WebP"));
  EXPECT_THAT(gif.what(), HasSubstr("47 49 46"));
  EXPECT_EQ(DecodeError(Bytes(1000, 0)).reason(), "IMAGE_FORMAT_UNSUPPORTED");
}

TEST(DecodeImage, ZeroSizedPicture) {
  const InvalidInput error = DecodeError(BombPng(0));
  EXPECT_EQ(error.reason(), "IMAGE_EMPTY");
  EXPECT_THAT(error.what(), HasSubstr("0 columns"));
}

TEST(DecodeImage, DamagedPixelsAreRefused) {
  Bytes png = EncodeFile(".png", ToBgr(test::Noise(64, 64)));
  png[png.size() / 2] ^= 0xFF;
  EXPECT_EQ(DecodeError(png).reason(), "IMAGE_DECODE_FAILED");
}

// The header that limits are checked against must be the one that the codec obeys.
TEST(DecodeImage, JpegWithASecondFrameHeaderIsRefused) {
  const Bytes small = EncodeFile(".jpg", ToBgr(Pattern(16, 16)));
  const Bytes large = EncodeFile(".jpg", ToBgr(Pattern(64, 64)));
  Bytes both(small.begin(), small.end() - 2);
  both.insert(both.end(), large.begin() + 2, large.end());
  const InvalidInput error = DecodeError(both);
  EXPECT_EQ(error.reason(), "IMAGE_DECODE_FAILED");
  EXPECT_THAT(error.what(), HasSubstr("two frame headers"));
}

TEST(DecodeImage, JpegKindsThatAreNotSupportedAreRefusedByName) {
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

TEST(DecodeImage, JpegOfEndlessScansIsRefused) {
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

}  // namespace
}  // namespace proad::model
