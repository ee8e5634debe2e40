#include "model/picture/mask.h"

#include <algorithm>
#include <cstring>
#include <opencv2/core/mat.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <utility>

#include "model/files/error.h"
#include "model/picture/bmp_layout.h"
#include "model/picture/byte_view.h"
#include "model/picture/decode.h"
#include "model/picture/mask_samples.h"
#include "model/picture/png_decoder.h"
#include "model/picture/tiff_mask.h"

namespace proad::model {
namespace {

bool IsTiff(std::span<const uint8_t> bytes) {
  return bytes.size() >= 4 &&
         (std::memcmp(bytes.data(), "II", 2) == 0 || std::memcmp(bytes.data(), "MM", 2) == 0);
}

// Whether a WebP file has a chunk of lossy data.
bool IsLossyWebP(std::span<const uint8_t> bytes) {
  const ByteView view(bytes, "WebP");
  for (uint64_t at = 12; view.Holds(at, 8);) {
    if (std::memcmp(bytes.data() + at, "VP8 ", 4) == 0) return true;
    const uint64_t size = view.Little32(at + 4);
    at += 8 + size + size % 2;
  }
  return false;
}

// Marks the pixels that are at least half as bright as the brightest one.
std::vector<uint8_t> MarkBright(const Image& image) {
  constexpr int kDarkest = 16;  // compression makes values below this from black
  const auto brightest = std::max_element(image.pixels.begin(), image.pixels.end());
  const int least = std::max<int>(*brightest / 2 + 1, kDarkest);
  std::vector<uint8_t> marked;
  marked.reserve(image.pixels.size() / 3);
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    const uint8_t* const pixel = image.pixels.data() + i;
    marked.push_back(*std::max_element(pixel, pixel + 3) >= least ? 255 : 0);
  }
  return marked;
}

// Reads the samples of a BMP or lossless WebP file, with opacity.
MaskSamples::Marks ReadWithOpenCv(std::span<const uint8_t> bytes, const ImageHeader& header) {
  // The caller gets the error; OpenCV must not also write it to the log of the process.
  [[maybe_unused]] static const auto quiet =
      cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
  // OpenCV only reads from it.
  const cv::Mat file(1, static_cast<int>(bytes.size()), CV_8U, const_cast<uint8_t*>(bytes.data()));
  cv::Mat decoded;
  try {
    decoded = cv::imdecode(file, cv::IMREAD_UNCHANGED | cv::IMREAD_IGNORE_ORIENTATION);
  } catch (const cv::Exception& e) {
    ThrowUndecodable(header, e.err);
  }
  if (decoded.empty() || decoded.depth() != CV_8U || decoded.cols != header.width ||
      decoded.rows != header.height) {
    ThrowUndecodable(header, "its data is damaged");
  }
  const int channels = decoded.channels();
  MaskSamples samples(
      decoded.cols, decoded.rows,
      {.samples = channels, .colours = std::min(channels, 3), .has_alpha = channels == 4});
  for (int y = 0; y < decoded.rows; ++y) samples.AddRow(decoded.ptr<uint8_t>(y));
  return std::move(samples).Decide();
}

std::vector<PaletteEntry> BmpPalette(const ByteView& view, const BmpLayout& layout) {
  constexpr uint64_t kFileHeader = 14;
  const uint64_t header_size = view.Little32(kFileHeader);
  const uint64_t entry = header_size == 12 ? 3 : 4;
  const uint64_t begin = kFileHeader + header_size;
  const uint64_t most =
      std::min<uint64_t>(uint64_t{1} << layout.bits_per_pixel, (layout.pixels_at - begin) / entry);
  std::vector<PaletteEntry> palette;
  for (uint64_t i = 0; i < most; ++i) {
    const uint64_t at = begin + i * entry;  // blue, green, red
    palette.push_back({view.U8(at + 2), view.U8(at + 1), view.U8(at), 255});
  }
  return palette;
}

// Reads the indexes of a BMP file with a palette. A positive height means that the last row comes
// first; masks need the first one first.
MaskSamples::Marks ReadBmpIndexes(std::span<const uint8_t> bytes, const BmpLayout& layout) {
  const ByteView view(bytes, "BMP");
  const auto width = static_cast<int>(layout.header.width);
  const auto height = static_cast<int>(layout.header.height);
  const bool core = view.Little32(14) == 12;
  const bool from_top = !core && static_cast<int32_t>(view.Little32(22)) < 0;
  const int bits = layout.bits_per_pixel;
  const uint64_t stride = (uint64_t(width) * bits + 31) / 32 * 4;
  view.Require(layout.pixels_at, stride * height);
  MaskSamples samples(width, height, {.indexes = true});
  std::vector<uint8_t> row(width);
  for (int y = 0; y < height; ++y) {
    const uint8_t* const packed =
        bytes.data() + layout.pixels_at + stride * (from_top ? y : height - 1 - y);
    for (int x = 0; x < width; ++x) {
      const int first_bit = x * bits;
      row[x] = (packed[first_bit / 8] >> (8 - bits - first_bit % 8)) & ((1 << bits) - 1);
    }
    samples.AddRow(row.data());
  }
  samples.ApplyPalette(BmpPalette(view, layout));
  return std::move(samples).Decide();
}

MaskSamples::Marks ReadBmp(std::span<const uint8_t> bytes, const ImageHeader& header) {
  const BmpLayout layout = ReadBmpLayout(bytes);
  if (layout.bits_per_pixel <= 8) return ReadBmpIndexes(bytes, layout);
  if (layout.pixels_at == layout.stored_pixels_at) return ReadWithOpenCv(bytes, header);
  return ReadWithOpenCv(WithRightPixelOffset(bytes, layout), header);
}

MaskSamples::Marks ReadLossless(std::span<const uint8_t> bytes, const ImageHeader& header) {
  switch (header.format) {
    case ImageFormat::kPng:
      return ReadPngMask(bytes, header);
    case ImageFormat::kTiff:
      return ReadTiffMask(bytes);
    case ImageFormat::kBmp:
      return ReadBmp(bytes, header);
    default:
      return ReadWithOpenCv(bytes, header);
  }
}

// The image pixels, of `size`, that contain the centres of the map's samples.
std::vector<int> NearestPixels(int size, int resize, int crop_offset, int crop, int map_size) {
  std::vector<int> pixels(map_size);
  for (int i = 0; i < map_size; ++i) {
    const double resized = crop_offset + (i + 0.5) * crop / map_size;
    pixels[i] = std::clamp(static_cast<int>(resized * size / resize), 0, size - 1);
  }
  return pixels;
}

}  // namespace

ImageHeader ReadMaskHeader(std::span<const uint8_t> bytes, const ImageLimits& limits) {
  if (bytes.empty()) throw InvalidImage("encoded", "IMAGE_EMPTY", "the file is empty (0 bytes)");
  // A reader may stop one byte after the limit, so the size of a larger file is not known.
  const std::string excess = BytesExcess(limits, static_cast<int64_t>(bytes.size()));
  if (!excess.empty())
    throw InvalidImage("encoded", "IMAGE_BYTES_TOO_LARGE", "the file has more bytes: " + excess);
  const ImageHeader header = IsTiff(bytes) ? ReadTiffMaskHeader(bytes) : ReadImageHeader(bytes);
  CheckFileSize(limits, NameOf(header.format), header.width, header.height);
  if (header.format != ImageFormat::kTiff) CheckComplete(bytes, header);
  return header;
}

Mask DecodeMask(std::span<const uint8_t> bytes, const ImageLimits& limits) {
  const ImageHeader header = ReadMaskHeader(bytes, limits);
  Mask mask{.width = static_cast<int>(header.width), .height = static_cast<int>(header.height)};
  mask.lossy = header.format == ImageFormat::kJpeg ||
               (header.format == ImageFormat::kWebP && IsLossyWebP(bytes));
  if (mask.lossy) {
    mask.pixels = MarkBright(DecodeImage(bytes, limits));
  } else {
    MaskSamples::Marks marks = ReadLossless(bytes, header);
    mask.pixels = std::move(marks.pixels);
    mask.from_alpha = marks.from_alpha;
  }
  return mask;
}

std::vector<uint8_t> MaskToMap(const Mask& mask, int map_width, int map_height,
                               const Preprocessing& preprocessing) {
  CheckSizes(preprocessing);
  if (mask.width <= 0 || mask.height <= 0 ||
      mask.pixels.size() != size_t(mask.width) * mask.height) {
    throw InvalidImage("mask", "IMAGE_EMPTY",
                       "a mask of " + std::to_string(mask.width) + " x " +
                           std::to_string(mask.height) + " pixels with " +
                           std::to_string(mask.pixels.size()) +
                           " bytes; it must have at least one pixel and a byte a pixel");
  }
  const Box crop = CropBox(preprocessing);
  const std::vector<int> columns =
      NearestPixels(mask.width, preprocessing.resize_width, crop.x, crop.width, map_width);
  const std::vector<int> rows =
      NearestPixels(mask.height, preprocessing.resize_height, crop.y, crop.height, map_height);
  std::vector<uint8_t> result;
  result.reserve(size_t(map_width) * map_height);
  for (const int y : rows) {
    const uint8_t* const row = mask.pixels.data() + size_t(mask.width) * y;
    for (const int x : columns) result.push_back(row[x]);
  }
  return result;
}

}  // namespace proad::model
