// Pictures for tests that show every flip, shift and swap of channels, and the files OpenCV makes
// of them.
#pragma once

#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <vector>

#include "model/picture/image.h"

namespace proad::test {

// Smooth (so that JPEG keeps it) and without any symmetry.
inline model::Image Pattern(int width, int height) {
  model::Image image{.width = width, .height = height};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.pixels.push_back(static_cast<uint8_t>(20 + 200 * x / width));
      image.pixels.push_back(static_cast<uint8_t>(230 - 190 * y / height));
      image.pixels.push_back(static_cast<uint8_t>(40 + 150 * (x + 2 * y) / (width + 2 * height)));
    }
  }
  return image;
}

// Fine detail everywhere: what a resize blurs shows.
inline model::Image Noise(int width, int height, uint32_t seed = 1) {
  model::Image image{.width = width, .height = height};
  for (size_t i = 0; i < size_t{3} * width * height; ++i) {
    seed = seed * 1664525 + 1013904223;
    image.pixels.push_back(static_cast<uint8_t>(seed >> 24));
  }
  return image;
}

inline cv::Mat ToBgr(const model::Image& image) {
  const cv::Mat rgb(image.height, image.width, CV_8UC3, const_cast<uint8_t*>(image.pixels.data()));
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  return bgr;
}

// As cv::imwrite would make it; `extension` with its dot.
inline std::vector<uint8_t> EncodeFile(const std::string& extension, const cv::Mat& bgr,
                                       const std::vector<int>& options = {}) {
  std::vector<uint8_t> file;
  cv::imencode(extension, bgr, file, options);
  return file;
}

}  // namespace proad::test
