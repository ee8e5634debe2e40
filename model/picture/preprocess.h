// From a picture to the network's input, and from the network's map back to the picture. Training,
// evaluation and serving call these same functions; their parameters are stored in the checkpoint.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "model/picture/image.h"

namespace proad::model {

// Resize, then cut the centre, then (on the device) normalise.
struct Preprocessing {
  int resize_height = 392;
  int resize_width = 392;
  int crop_height = 392;  // equal to resize: no crop, the whole picture is inspected
  int crop_width = 392;
  std::array<float, 3> mean = {0.485f, 0.456f, 0.406f};  // of RGB in 0..1
  std::array<float, 3> std = {0.229f, 0.224f, 0.225f};

  bool operator==(const Preprocessing&) const = default;
};

// A rectangle of pixels.
struct Box {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;

  bool operator==(const Box&) const = default;
};

// A picture ready for the network. Owns its pixels.
struct PreparedImage {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;  // [crop_height, crop_width, 3], RGB
};

// Antialiased bilinear resize, equal to Pillow's Image.resize(..., BILINEAR) bit for bit.
Image ResizeBilinear(const Image& image, int width, int height);

// Resizes and crops. Throws InvalidInput (field "preprocessing") when the parameters are
// impossible.
PreparedImage Prepare(const Image& image, const Preprocessing& preprocessing);

// The pixels of a `width` x `height` picture that Prepare keeps, rounded outwards to whole pixels.
Box InspectedArea(int width, int height, const Preprocessing& preprocessing);

// A map of the inspected area, brought to the picture's own pixel grid by bilinear interpolation
// through the inverse of crop and resize; 0 outside the inspected area.
//   map: [map_height, map_width]  ->  [height, width]
std::vector<float> MapToOriginal(std::span<const float> map, int map_width, int map_height,
                                 int width, int height, const Preprocessing& preprocessing);

// The mask of a picture on the grid of a map of the inspected area: of each pixel of the map what
// lies at its centre, 255 where any channel of the mask is not 0, else 0.
//   mask: as large as the picture  ->  [map_height, map_width]
std::vector<uint8_t> MaskToMap(const Image& mask, int map_width, int map_height,
                               const Preprocessing& preprocessing);

}  // namespace proad::model
