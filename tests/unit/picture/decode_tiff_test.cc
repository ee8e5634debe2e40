// TIFF files written byte by byte: the meaning of tags, and the refused variants.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "model/files/error.h"
#include "model/picture/decode.h"
#include "model/picture/image.h"
#include "tests/support/patterns.h"
#include "tests/support/picture_bytes.h"

namespace proad::model {
namespace {

using ::proad::test::Bytes;
using ::proad::test::DecodeError;
using ::proad::test::LargestDifference;
using ::proad::test::Pattern;
using ::proad::test::PutBig;
using ::proad::test::PutLittle;
using ::proad::test::PutText;
using ::testing::HasSubstr;

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

// MaxSampleValue and SMaxSampleValue state significant bits only as 2^n - 1.
TEST(DecodeTiff, SignificantBits) {
  const auto decode = [](uint32_t tag, uint32_t type, uint32_t value) {
    Bytes samples;
    for (const uint32_t sample : {0, 100, 2048, 4095}) PutLittle(samples, sample, 2);
    Tiff tiff(2, 2, 1, samples, 16);
    tiff.fields[tag] = {type, {value}};
    const Image image = DecodeImage(tiff.File());
    return Bytes{image.pixels[0], image.pixels[3], image.pixels[6], image.pixels[9]};
  };
  const Bytes bright = {0, 6, 128, 255};
  const Bytes dark = {0, 0, 8, 16};
  for (const uint32_t tag : {281, 341}) {
    EXPECT_EQ(decode(tag, 3, 4095), bright) << tag;
    EXPECT_EQ(decode(tag, 3, 4000), dark) << tag;
    EXPECT_EQ(decode(tag, 3, 65535), dark) << tag;
  }
  Bytes samples;
  for (const uint32_t sample : {0, 4096}) PutLittle(samples, sample, 2);
  Tiff untrue(2, 1, 1, samples, 16);
  untrue.fields[281] = {3, {4095}};
  EXPECT_EQ(DecodeError(untrue.File()).reason(), "IMAGE_BITS_EXCEEDED");
}

TEST(DecodeTiff, OrientationTagIsApplied) {
  const Image image = Pattern(7, 4);
  Tiff tiff(7, 4, 3, image.pixels);
  tiff.fields[274] = {3, {6}};
  const Image view = DecodeImage(tiff.File(), {}, {.orientation = Orientation::kApply});
  EXPECT_EQ(view.width, 4);
  EXPECT_EQ(view.height, 7);
  EXPECT_TRUE(std::equal(view.pixels.begin(), view.pixels.begin() + 3, &image.pixels[3 * 7 * 3]));
}

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

}  // namespace
}  // namespace proad::model
