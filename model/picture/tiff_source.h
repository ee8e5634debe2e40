// A TIFF file in memory, opened with libtiff.
//
// Included only by the readers of TIFF pixels, because it includes libtiff's header. No LibTorch.
// Safe to call from any thread; a source belongs to one thread.
#pragma once

#include <tiffio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace proad::model {

// The bytes of the file and the messages of libtiff; its callbacks get a pointer to it.
struct TiffSource {
  std::span<const uint8_t> bytes;
  uint64_t at = 0;
  bool in_pixels = false;
  int dropped_warnings = 0;
  std::string damage;  // the first message that means damaged pixels
};

using TiffHandle = std::unique_ptr<TIFF, void (*)(TIFF*)>;

// Opens the file; null if its directory is damaged. Errors, and warnings while `source.in_pixels`
// is true, become `source.damage`. Nothing is written to standard error. `source` must outlive the
// handle.
TiffHandle OpenTiff(TiffSource& source);

}  // namespace proad::model
