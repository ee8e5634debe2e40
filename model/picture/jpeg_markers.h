// The marker structure of a JPEG file (ITU T.81, annex B).
//
// libjpeg fills the rest of a truncated picture with grey and only warns; walking the markers finds
// it out. No LibTorch. Pure functions, safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>

#include "model/picture/image_header.h"

namespace proad::model {

// Reads up to the frame header. Baseline, extended and progressive Huffman-coded pictures of 8 bit
// with one or three components are supported. Throws as ReadImageHeader.
ImageHeader ReadJpegHeader(std::span<const uint8_t> bytes);

// Walks every scan to the end-of-image marker. Throws as CheckComplete; also for a file of more
// scans than any encoder makes, each of which would cost a pass over the whole picture.
void CheckJpegComplete(std::span<const uint8_t> bytes);

}  // namespace proad::model
