// Image files with damaged data or with warnings of their codec: damage is refused, other warnings
// are counted, and nothing is written to standard error.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "model/files/zip_archive.h"
#include "model/picture/decode.h"
#include "tests/support/patterns.h"
#include "tests/support/picture_bytes.h"

namespace proad::model {
namespace {

using ::proad::test::Bytes;
using ::proad::test::DecodeError;
using ::proad::test::EncodeFile;
using ::proad::test::LargestDifference;
using ::proad::test::Noise;
using ::proad::test::Pattern;
using ::proad::test::PutBig;
using ::proad::test::PutLittle;
using ::proad::test::PutText;
using ::proad::test::ToBgr;
using ::testing::HasSubstr;

// Sends standard error to a file during each test, which must be empty at its end.
class DecodeDamage : public testing::Test {
 protected:
  void SetUp() override {
    std::fflush(stderr);
    captured_ = std::tmpfile();
    ASSERT_NE(captured_, nullptr);
    saved_ = dup(STDERR_FILENO);
    dup2(fileno(captured_), STDERR_FILENO);
  }

  void TearDown() override {
    std::fflush(stderr);
    dup2(saved_, STDERR_FILENO);
    close(saved_);
    std::string written(1000, '\0');
    std::rewind(captured_);
    written.resize(std::fread(written.data(), 1, written.size(), captured_));
    std::fclose(captured_);
    EXPECT_EQ(written, "") << "codecs write nothing to standard error";
  }

  static void ExpectDamaged(const Bytes& file, const std::string& what) {
    const InvalidInput error = DecodeError(file);
    EXPECT_EQ(error.field(), "encoded") << what;
    EXPECT_EQ(error.reason(), "IMAGE_DECODE_FAILED") << what << ": " << error.what();
  }

  // Decodes to `expected` and counts `warnings`.
  static void ExpectWarnings(const Bytes& file, const Image& expected, int warnings) {
    DecodeDiagnostics diagnostics;
    EXPECT_EQ(LargestDifference(DecodeImage(file, {}, {}, &diagnostics), expected), 0);
    EXPECT_EQ(diagnostics.dropped_warnings, warnings);
  }

 private:
  std::FILE* captured_ = nullptr;
  int saved_ = -1;
};

// ---------------------------------------------------------------- JPEG

// Position of the entropy-coded data: behind the header of the last scan.
size_t ScanBegin(const Bytes& jpeg) {
  const Bytes sos = {0xFF, 0xDA};
  const auto at = std::find_end(jpeg.begin(), jpeg.end(), sos.begin(), sos.end());
  return static_cast<size_t>(at - jpeg.begin()) + 2 + at[2] * 256 + at[3];
}

TEST_F(DecodeDamage, JpegScanThatEndsEarly) {
  for (const int progressive : {0, 1}) {
    const Bytes jpeg =
        EncodeFile(".jpg", ToBgr(Noise(64, 64)), {cv::IMWRITE_JPEG_PROGRESSIVE, progressive});
    Bytes cut(jpeg.begin(), jpeg.begin() + (ScanBegin(jpeg) + jpeg.size()) / 2);
    cut.insert(cut.end(), {0xFF, 0xD9});
    ExpectDamaged(cut, progressive == 1 ? "progressive" : "baseline");
  }
}

TEST_F(DecodeDamage, JpegScanWithDataLeft) {
  Bytes jpeg = EncodeFile(".jpg", ToBgr(Noise(64, 64)));
  jpeg.insert(jpeg.end() - 2, 40, 0x55);
  ExpectDamaged(jpeg, "40 bytes behind the last block");
}

TEST_F(DecodeDamage, JpegRestartMarkerOutOfOrder) {
  Bytes jpeg = EncodeFile(".jpg", ToBgr(Noise(64, 64)), {cv::IMWRITE_JPEG_RST_INTERVAL, 2});
  const Bytes restart = {0xFF, 0xD1};
  const auto at = std::search(jpeg.begin(), jpeg.end(), restart.begin(), restart.end());
  ASSERT_NE(at, jpeg.end());
  at[1] = 0xD5;
  ExpectDamaged(jpeg, "restart 5 instead of 1");
}

TEST_F(DecodeDamage, JpegWarningAboutItsHeaderIsCounted) {
  const Bytes jpeg = EncodeFile(".jpg", ToBgr(Pattern(61, 34)));
  Bytes adobe = {0xFF, 0xEE, 0, 14};  // an Adobe segment with the unknown colour transform 5
  PutText(adobe, "Adobe");
  for (const uint8_t byte : {0, 100, 0, 0, 0, 0, 5}) adobe.push_back(byte);
  Bytes file = jpeg;
  // In place of the JFIF segment, which would decide the colours.
  file.erase(file.begin() + 2, file.begin() + 4 + file[4] * 256 + file[5]);
  file.insert(file.begin() + 2, adobe.begin(), adobe.end());
  ExpectWarnings(file, DecodeImage(jpeg), 1);
}

// ---------------------------------------------------------------- PNG

struct Chunk {
  size_t data = 0;  // position of its data
  size_t size = 0;
};

Chunk FindChunk(const Bytes& png, const std::string& type) {
  const auto at = std::search(png.begin(), png.end(), type.begin(), type.end());
  const auto data = static_cast<size_t>(at - png.begin()) + 4;
  const size_t size =
      size_t{png[data - 8]} << 24 | png[data - 7] << 16 | png[data - 6] << 8 | png[data - 5];
  return {data, size};
}

// Writes the checksum of a chunk anew.
void Seal(Bytes& png, const Chunk& chunk) {
  const auto checked = std::as_bytes(std::span(png)).subspan(chunk.data - 4, chunk.size + 4);
  Bytes crc;
  PutBig(crc, Crc32(checked), 4);
  std::copy(crc.begin(), crc.end(), png.begin() + chunk.data + chunk.size);
}

TEST_F(DecodeDamage, PngDataWithRightChecksumsOfItsChunk) {
  const Bytes png = EncodeFile(".png", ToBgr(Noise(64, 64)));
  const Chunk data = FindChunk(png, "IDAT");
  for (const size_t from_end : {size_t{1}, size_t{4}, data.size / 2}) {
    Bytes file = png;
    file[data.data + data.size - from_end] ^= 0x10;
    Seal(file, data);
    ExpectDamaged(file, "byte " + std::to_string(from_end) + " from the end");
  }
}

TEST_F(DecodeDamage, PngDataThatEndsEarly) {
  Bytes png = EncodeFile(".png", ToBgr(Noise(64, 64)));
  const Chunk data = FindChunk(png, "IDAT");
  png.erase(png.begin() + data.data + data.size / 2, png.begin() + data.data + data.size);
  Bytes size;
  PutBig(size, static_cast<uint32_t>(data.size / 2), 4);
  std::copy(size.begin(), size.end(), png.begin() + data.data - 8);
  Seal(png, {data.data, data.size / 2});
  ExpectDamaged(png, "half of the data");
}

TEST_F(DecodeDamage, PngPaddingBehindTheDataIsCounted) {
  const Image image = Pattern(61, 34);
  Bytes png = EncodeFile(".png", ToBgr(image));
  const Chunk data = FindChunk(png, "IDAT");
  png.insert(png.begin() + data.data + data.size, 8, 0);
  Bytes size;
  PutBig(size, static_cast<uint32_t>(data.size + 8), 4);
  std::copy(size.begin(), size.end(), png.begin() + data.data - 8);
  Seal(png, {data.data, data.size + 8});
  ExpectWarnings(png, image, 1);
}

TEST_F(DecodeDamage, PngWarningAboutAnotherChunkIsCounted) {
  const Image image = Pattern(61, 34);
  Bytes png = EncodeFile(".png", ToBgr(image));
  Bytes gamma;
  PutBig(gamma, 4, 4);
  PutText(gamma, "gAMA");
  PutBig(gamma, 45455, 4);
  PutBig(gamma, 0x12345678, 4);  // a wrong checksum
  png.insert(png.begin() + 33, gamma.begin(), gamma.end());
  ExpectWarnings(png, image, 1);
}

// ---------------------------------------------------------------- TIFF

TEST_F(DecodeDamage, CompressedTiff) {
  for (const int compression : {5, 8, 32773}) {  // LZW, Deflate, PackBits
    const Bytes tiff =
        EncodeFile(".tiff", ToBgr(Pattern(200, 120)), {cv::IMWRITE_TIFF_COMPRESSION, compression});
    ASSERT_EQ(DecodeError(tiff).reason(), "") << compression;
    Bytes zeros = tiff;
    std::fill(zeros.begin() + tiff.size() / 4, zeros.begin() + tiff.size() / 2, 0);
    ExpectDamaged(zeros, "zeros, compression " + std::to_string(compression));
  }
}

TEST_F(DecodeDamage, FlippedBytesOfLzwTiff) {
  Bytes tiff = EncodeFile(".tiff", ToBgr(Noise(64, 64)), {cv::IMWRITE_TIFF_COMPRESSION, 5});
  for (size_t i = 0; i < 8; ++i) tiff[tiff.size() / 4 + i] ^= 0xFF;
  ExpectDamaged(tiff, "eight bytes flipped");
}

// ---------------------------------------------------------------- WebP

TEST_F(DecodeDamage, LosslessWebP) {
  Bytes webp = EncodeFile(".webp", ToBgr(Noise(64, 64)), {cv::IMWRITE_WEBP_QUALITY, 101});
  std::fill(webp.begin() + webp.size() / 4, webp.end(), 0xFF);
  ExpectDamaged(webp, "the end overwritten");
}

// ---------------------------------------------------------------- BMP

// Changes the stated position of the pixels (bfOffBits).
Bytes WithPixelOffset(Bytes bmp, uint32_t offset) {
  Bytes field;
  PutLittle(field, offset, 4);
  std::copy(field.begin(), field.end(), bmp.begin() + 10);
  return bmp;
}

Bytes PaletteBmp(const Image& image) {
  cv::Mat red;
  cv::extractChannel(ToBgr(image), red, 2);
  return EncodeFile(".bmp", red);
}

TEST_F(DecodeDamage, BmpOffsetThatIgnoresThePaletteIsRepaired) {
  const Bytes bmp = PaletteBmp(Pattern(61, 34));
  ASSERT_EQ(bmp[10] + 256 * bmp[11], 54 + 1024);
  EXPECT_EQ(LargestDifference(DecodeImage(WithPixelOffset(bmp, 54)), DecodeImage(bmp)), 0);
}

TEST_F(DecodeDamage, BmpOffsetThatIgnoresTheMasksIsRepaired) {
  Bytes bmp;
  PutText(bmp, "BM");
  for (const uint32_t value : {0u, 0u, 54u, 40u, 2u, 1u}) PutLittle(bmp, value, 4);
  PutLittle(bmp, 1, 2);
  PutLittle(bmp, 32, 2);
  for (const uint32_t value : {3u, 0u, 0u, 0u, 0u, 0u}) PutLittle(bmp, value, 4);
  for (const uint32_t mask : {0xFF0000u, 0xFF00u, 0xFFu}) PutLittle(bmp, mask, 4);
  for (const uint32_t pixel : {0x00010203u, 0x00040506u}) PutLittle(bmp, pixel, 4);
  EXPECT_EQ(DecodeImage(bmp).pixels, (Bytes{1, 2, 3, 4, 5, 6}));
}

// OS/2's header, two colours of the possible 256, and two pixels.
Bytes CoreBmp(uint32_t pixels_at) {
  Bytes bmp;
  PutText(bmp, "BM");
  for (const uint32_t value : {0u, 0u, pixels_at, 12u}) PutLittle(bmp, value, 4);
  for (const uint32_t value : {2u, 1u, 1u, 8u}) PutLittle(bmp, value, 2);
  for (const uint32_t colour : {0x010203u, 0x040506u}) PutLittle(bmp, colour, 3);
  PutLittle(bmp, 0x0100, 4);
  bmp.resize(2000);  // OpenCV reads 256 colours
  return bmp;
}

TEST_F(DecodeDamage, BmpOffsetBehindTheShortPaletteOfACoreHeader) {
  EXPECT_EQ(DecodeImage(CoreBmp(32)).pixels, (Bytes{1, 2, 3, 4, 5, 6}));
  ExpectDamaged(CoreBmp(31), "inside the second colour");
}

TEST_F(DecodeDamage, BmpOffsetInsideThePaletteIsRefused) {
  const Bytes bmp = PaletteBmp(Pattern(61, 34));
  for (const uint32_t offset : {0u, 53u, 55u, 54u + 512, 54u + 1023}) {
    const InvalidInput error = DecodeError(WithPixelOffset(bmp, offset));
    EXPECT_EQ(error.reason(), "IMAGE_DECODE_FAILED") << offset;
    EXPECT_THAT(error.what(), HasSubstr("inside the header, which ends at byte 1078")) << offset;
  }
}

TEST_F(DecodeDamage, BmpWithoutThePaletteThatItNeedsIsRefused) {
  Bytes bmp = PaletteBmp(Pattern(61, 34));
  bmp.erase(bmp.begin() + 54, bmp.begin() + 54 + 1024);
  ExpectDamaged(WithPixelOffset(bmp, 54), "no palette");
}

}  // namespace
}  // namespace proad::model
