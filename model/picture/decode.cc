#include "model/picture/decode.h"

#include <algorithm>
#include <opencv2/core/mat.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>

#include "model/files/error.h"
#include "model/picture/bmp_layout.h"
#include "model/picture/image_header.h"
#include "model/picture/jpeg_decoder.h"
#include "model/picture/orientation.h"
#include "model/picture/png_decoder.h"
#include "model/picture/tiff_decoder.h"
#include "model/picture/tiff_directory.h"

namespace proad::model {
namespace {

constexpr int64_t kMaxDecodeBytesPerPixel = 12;

std::string SizeText(int64_t width, int64_t height) {
  return std::to_string(width) + " x " + std::to_string(height) + " pixels";
}

// Decodes formats whose codecs in OpenCV report damage as an error and print nothing: BMP, WebP.
Image DecodeWithOpenCv(std::span<const uint8_t> bytes, const ImageHeader& header) {
  // The caller gets the error; OpenCV must not also write it to the log of the process.
  [[maybe_unused]] static const auto quiet =
      cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
  // OpenCV only reads from it.
  const cv::Mat file(1, static_cast<int>(bytes.size()), CV_8U, const_cast<uint8_t*>(bytes.data()));
  cv::Mat decoded;
  try {
    decoded = cv::imdecode(file, cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION);
  } catch (const cv::Exception& e) {
    ThrowUndecodable(header, e.err);
  }
  if (decoded.empty()) ThrowUndecodable(header, "its data is damaged");
  if (decoded.cols != header.width || decoded.rows != header.height) {
    ThrowUndecodable(header, "its data has " + SizeText(decoded.cols, decoded.rows));
  }
  if (decoded.type() != CV_8UC3) ThrowUndecodable(header, "unexpected sample type");
  Image image = BlankImage(header);
  cv::Mat rgb(image.height, image.width, CV_8UC3, image.pixels.data());
  cv::cvtColor(decoded, rgb, cv::COLOR_BGR2RGB);
  return image;
}

Image DecodeBmp(std::span<const uint8_t> bytes, const ImageHeader& header) {
  const BmpLayout layout = ReadBmpLayout(bytes);
  if (layout.pixels_at == layout.stored_pixels_at) return DecodeWithOpenCv(bytes, header);
  return DecodeWithOpenCv(WithRightPixelOffset(bytes, layout), header);
}

// Bytes per pixel that decoding takes at most: the decoded samples, the result (3) and the buffers
// of the codec.
int64_t DecodeBytesPerPixel(const ImageHeader& header) {
  const bool deep = header.bits_per_sample > 8;
  switch (header.format) {
    case ImageFormat::kJpeg:
      // 2 bytes a coefficient
      return !header.progressive ? 5 : header.components == 4 ? kMaxDecodeBytesPerPixel : 11;
    case ImageFormat::kPng:
      return deep ? 10 : 5;  // all 16 bit samples of an interlaced image
    case ImageFormat::kBmp:
      return 11;  // OpenCV's image, and a copy of the file where its pixel offset is wrong
    case ImageFormat::kTiff:
      return deep ? kMaxDecodeBytesPerPixel : 8;  // one strip may hold all samples
    case ImageFormat::kWebP:
      return kMaxDecodeBytesPerPixel;  // libwebp's and OpenCV's image
  }
  return kMaxDecodeBytesPerPixel;
}

// The stored pixels. `bits`: as in ImageReading.
Image DecodeStored(std::span<const uint8_t> bytes, const ImageHeader& header, int bits,
                   DecodeDiagnostics& diagnostics) {
  switch (header.format) {
    case ImageFormat::kJpeg:
      return DecodeJpeg(bytes, header, diagnostics);
    case ImageFormat::kPng:
      return DecodePng(bytes, header, bits, diagnostics);
    case ImageFormat::kTiff:
      return DecodeTiff(bytes, ReadTiffDirectory(bytes), bits, diagnostics);
    case ImageFormat::kBmp:
      return DecodeBmp(bytes, header);
    case ImageFormat::kWebP:
      return DecodeWithOpenCv(bytes, header);
  }
  __builtin_unreachable();
}

// The orientation that the stored pixels are turned by; 1 for none.
int AppliedOrientation(std::span<const uint8_t> bytes, const ImageHeader& header,
                       const ImageReading& reading) {
  if (reading.orientation == Orientation::kIgnore) return 1;
  return ReadOrientation(bytes, header.format);
}

}  // namespace

ImageSize ReadImageSize(std::span<const uint8_t> bytes, const ImageReading& reading) {
  const ImageHeader header = ReadImageHeader(bytes);
  const bool swapped = SwapsSides(AppliedOrientation(bytes, header, reading));
  return swapped ? ImageSize{header.height, header.width} : ImageSize{header.width, header.height};
}

int64_t DecodeBytes(std::span<const uint8_t> bytes, const ImageReading& reading) {
  constexpr int64_t kTwoImages = 6;  // the stored pixels and their upright view
  try {
    const ImageHeader header = ReadImageHeader(bytes);
    const int64_t turned = AppliedOrientation(bytes, header, reading) == 1 ? 0 : kTwoImages;
    return header.width * header.height * std::max(DecodeBytesPerPixel(header), turned);
  } catch (const InvalidInput&) {
    return 0;
  }
}

int64_t MaxDecodeBytes(int64_t pixels) { return pixels * kMaxDecodeBytesPerPixel; }

Image DecodeImage(std::span<const uint8_t> bytes, const ImageLimits& limits,
                  const ImageReading& reading, DecodeDiagnostics* diagnostics) {
  CheckFileBytes(limits, static_cast<int64_t>(bytes.size()));
  const ImageHeader header = ReadImageHeader(bytes);
  CheckFileSize(limits, NameOf(header.format), header.width, header.height);
  CheckComplete(bytes, header);
  DecodeDiagnostics unused;
  DecodeDiagnostics& found = diagnostics == nullptr ? unused : *diagnostics;
  return ToUpright(DecodeStored(bytes, header, reading.bits, found),
                   AppliedOrientation(bytes, header, reading));
}

}  // namespace proad::model
