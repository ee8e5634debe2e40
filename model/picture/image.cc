#include "model/picture/image.h"

#include <opencv2/core/mat.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>

#include "model/files/error.h"
#include "model/picture/image_header.h"
#include "model/picture/tiff_directory.h"

namespace proad::model {
namespace {

std::string SizeText(int64_t width, int64_t height) {
  return std::to_string(width) + " x " + std::to_string(height) + " pixels";
}

void CheckLimits(const ImageHeader& header, const ImageLimits& limits) {
  const std::string what =
      std::string(NameOf(header.format)) + " file of " + SizeText(header.width, header.height);
  if (header.width > limits.max_side || header.height > limits.max_side) {
    throw InvalidImage(
        "encoded", "IMAGE_TOO_LARGE",
        what + "; at most " + std::to_string(limits.max_side) + " pixels a side are accepted");
  }
  if (header.width * header.height > limits.max_pixels) {
    throw InvalidImage(
        "encoded", "IMAGE_TOO_LARGE",
        what + "; at most " + std::to_string(limits.max_pixels) + " pixels are accepted");
  }
}

[[noreturn]] void ThrowUndecodable(const ImageHeader& header, const std::string& why) {
  throw InvalidImage("encoded", "IMAGE_DECODE_FAILED",
                     std::string(NameOf(header.format)) + " file of " +
                         SizeText(header.width, header.height) + " cannot be decoded: " + why);
}

// BGR, 8 or 16 bit, of the size that the header states.
cv::Mat DecodeBgr(std::span<const uint8_t> bytes, const ImageHeader& header) {
  // What is wrong with a picture is told to whoever sent it; the log of the process is not theirs
  // to fill.
  [[maybe_unused]] static const auto quiet =
      cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
  // OpenCV only reads from it.
  const cv::Mat file(1, static_cast<int>(bytes.size()), CV_8U, const_cast<uint8_t*>(bytes.data()));
  cv::Mat decoded;
  try {
    decoded =
        cv::imdecode(file, cv::IMREAD_COLOR | cv::IMREAD_ANYDEPTH | cv::IMREAD_IGNORE_ORIENTATION);
  } catch (const cv::Exception& e) {
    ThrowUndecodable(header, e.err);
  }
  if (decoded.empty()) ThrowUndecodable(header, "its data are damaged");
  if (decoded.cols != header.width || decoded.rows != header.height) {
    ThrowUndecodable(header, "its data are of " + SizeText(decoded.cols, decoded.rows));
  }
  if (decoded.type() != CV_8UC3 && decoded.type() != CV_16UC3) {
    ThrowUndecodable(header, "unexpected kind of samples");
  }
  return decoded;
}

Image ToRgb8(const cv::Mat& bgr) {
  Image image{.width = bgr.cols, .height = bgr.rows};
  image.pixels.resize(size_t{3} * bgr.cols * bgr.rows);
  if (bgr.depth() == CV_8U) {
    cv::Mat rgb(bgr.rows, bgr.cols, CV_8UC3, image.pixels.data());
    cv::cvtColor(bgr, rgb, cv::COLOR_BGR2RGB);
    return image;
  }
  uint8_t* out = image.pixels.data();
  for (int y = 0; y < bgr.rows; ++y) {
    const uint16_t* in = bgr.ptr<uint16_t>(y);
    for (int x = 0; x < bgr.cols; ++x, in += 3, out += 3) {
      for (int c = 0; c < 3; ++c) out[c] = ScaleTo8Bit(in[2 - c]);
    }
  }
  return image;
}

}  // namespace

Image DecodeImage(std::span<const uint8_t> bytes, const ImageLimits& limits) {
  if (static_cast<int64_t>(bytes.size()) > limits.max_bytes) {
    throw InvalidImage("encoded", "IMAGE_BYTES_TOO_LARGE",
                       "a file of " + std::to_string(bytes.size()) + " bytes; at most " +
                           std::to_string(limits.max_bytes) + " bytes are accepted");
  }
  const ImageHeader header = ReadImageHeader(bytes);
  CheckLimits(header, limits);
  CheckComplete(bytes, header);
  std::vector<uint8_t> neutral;
  if (header.format == ImageFormat::kTiff) {
    const TiffDirectory directory = ReadTiffDirectory(bytes);
    if (NeedsNeutralTags(directory)) {
      neutral.assign(bytes.begin(), bytes.end());
      NeutraliseTags(directory, neutral);
      bytes = neutral;
    }
  }
  return ToRgb8(DecodeBgr(bytes, header));
}

}  // namespace proad::model
