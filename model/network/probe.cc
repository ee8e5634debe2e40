#include "model/network/probe.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <cmath>
#include <opencv2/imgcodecs.hpp>
#include <stdexcept>

#include "model/files/error.h"
#include "model/picture/decode.h"
#include "model/picture/image.h"

namespace proad::model {
namespace {

constexpr int kWidth = 320;
constexpr int kHeight = 240;

// Colour ramps, with a checkerboard at the lower left, and a dark disc with fine rings at the upper
// right. Integer arithmetic makes the image the same on every machine.
cv::Vec3b ColourAt(int x, int y) {
  const int red = x * 255 / (kWidth - 1);
  const int green = y * 255 / (kHeight - 1);
  const int blue = 255 - red;
  const int dx = x - 230;
  const int dy = y - 80;
  const int squared = dx * dx + dy * dy;
  if (squared < 40 * 40) return cv::Vec3b(30, 40, 60);
  if (squared < 70 * 70) {
    const int ring = (squared >> 6) % 64;
    return cv::Vec3b(static_cast<uint8_t>(blue / 2 + ring), static_cast<uint8_t>(green / 2 + ring),
                     static_cast<uint8_t>(red / 2 + ring));
  }
  if (x < 120 && y >= 140 && ((x / 10) + (y / 10)) % 2 == 0) return cv::Vec3b(235, 235, 235);
  return cv::Vec3b(static_cast<uint8_t>(blue), static_cast<uint8_t>(green),
                   static_cast<uint8_t>(red));
}

}  // namespace

std::vector<uint8_t> ProbeImage() {
  cv::Mat3b image(kHeight, kWidth);
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) image(y, x) = ColourAt(x, y);
  }
  std::vector<uint8_t> png;
  if (!cv::imencode(".png", image, png)) {
    throw std::runtime_error("this OpenCV cannot write PNG files");
  }
  return png;
}

double ProbeScore(const FrozenProAd& model, const Preprocessing& preprocessing,
                  std::span<const uint8_t> encoded) {
  const c10::InferenceMode inference;
  PreparedImage prepared = Prepare(DecodeImage(encoded), preprocessing);
  const torch::Tensor pixels =
      at::from_blob(prepared.pixels.data(), {1, prepared.height, prepared.width, 3},
                    at::TensorOptions(at::kByte));
  const double score = model.Detect(pixels).scores.to(at::kCPU, at::kDouble)[0].item<double>();
  if (!std::isfinite(score)) {
    throw InvalidInput("probe", "PROBE_NOT_FINITE",
                       "the network's score of the probe image is " + std::to_string(score) +
                           "; a finite score is expected");
  }
  return score;
}

}  // namespace proad::model
