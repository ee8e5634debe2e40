// Converts an image to the network's input, and the network's map back to the pixels of the image.
// Training, evaluation and serving call these functions; the parameters are part of the checkpoint.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "model/picture/image.h"
#include "model/picture/image_reading.h"

namespace proad::model {

// Decode, resize, then centre crop, then (on the device) normalise.
struct Preprocessing {
  ImageReading reading;  // for DecodeImage
  int resize_height = 392;
  int resize_width = 392;
  int crop_height = 392;  // equal to the resize: no crop, the whole image is inspected
  int crop_width = 392;
  std::array<float, 3> mean = {0.485f, 0.456f, 0.406f};  // of RGB in 0..1
  std::array<float, 3> std = {0.229f, 0.224f, 0.225f};

  bool operator==(const Preprocessing&) const = default;
};

// Throws InvalidInput (field "preprocessing") unless 1 <= crop <= resize on both axes.
void CheckSizes(const Preprocessing& preprocessing);

// The centre crop, in pixels of the resized image.
Box CropBox(const Preprocessing& preprocessing);

// An image that is ready for the network. Owns its pixels.
struct PreparedImage {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;  // [crop_height, crop_width, 3], RGB
};

// Resizes and crops. Throws InvalidInput as CheckSizes (field "preprocessing") and CheckPixels
// (field "image") do.
PreparedImage Prepare(const Image& image, const Preprocessing& preprocessing);

// The pixels of a `width` x `height` image that Prepare keeps, rounded outwards to whole pixels.
Box InspectedArea(int width, int height, const Preprocessing& preprocessing);

// Brings a map of the inspected area to the pixel grid of the image, by bilinear interpolation
// through the inverse of crop and resize. Pixels outside the inspected area are 0.
//   map: [map_height, map_width]  ->  [height, width]
std::vector<float> MapToOriginal(std::span<const float> map, int map_width, int map_height,
                                 int width, int height, const Preprocessing& preprocessing);

}  // namespace proad::model
