// Reads the marker structure of a JPEG file (ITU T.81, annex B).
//
// libjpeg fills the missing part of a truncated image with grey and only warns; walking the markers
// detects the truncation. No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>

#include "model/picture/image_header.h"

namespace proad::model {

// Reads up to the frame header. Supported are baseline, extended and progressive Huffman-coded
// images of 8 bits with one, three or four components. Throws as ReadImageHeader does.
ImageHeader ReadJpegHeader(std::span<const uint8_t> bytes);

// The payload of the first segment APP1 with EXIF data before the first scan; empty without one.
// Throws InvalidImage if the markers before it are damaged.
std::span<const uint8_t> FindJpegExif(std::span<const uint8_t> bytes);

// Walks all scans to the end-of-image marker. Throws as CheckComplete does, and for a file of more
// than 100 scans: each scan costs a pass over the whole image.
void CheckJpegComplete(std::span<const uint8_t> bytes);

}  // namespace proad::model
