// The orientation tag of image files (TIFF 6.0, tag 274; EXIF has the same tag), and the upright
// view of an image.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/picture/image.h"
#include "model/picture/image_header.h"

namespace proad::model {

// The tag's value, 1 to 8: of the EXIF data of a JPEG (segment APP1), PNG (chunk eXIf) or WebP
// (chunk EXIF) file, or of the first directory of a TIFF file. 1, upright, without a tag, and for a
// tag whose value is not defined or whose data is damaged.
int ReadOrientation(std::span<const uint8_t> bytes, ImageFormat format);

// Whether the upright view has the height of the stored pixels as its width.
constexpr bool SwapsSides(int orientation) { return orientation >= 5; }

// The upright view of stored pixels whose tag has the value `orientation`, 1 to 8. Takes the memory
// of a second image, except for 1.
Image ToUpright(Image stored, int orientation);

// The same for [height, width, channels], row-major.
std::vector<uint8_t> ToUpright(std::vector<uint8_t> stored, int width, int height, int channels,
                               int orientation);

}  // namespace proad::model
