// The agreement between a server and a version about how images are read.
//
// Pure: safe to use from any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "model/picture/image_reading.h"

namespace proad::server {

// The keys image.orientation and image.bits of the server.
struct ReadingRule {
  std::optional<model::Orientation> orientation;  // absent: that of the version
  int bits = 0;                                   // 0: those of the version

  // Of jobs that state none.
  model::ImageReading ForJobs() const {
    return {.orientation = orientation.value_or(model::Orientation::kIgnore), .bits = bits};
  }
};

// Throws InvalidImage (field "encoded") for a file that the server and the version would read in two
// ways: ORIENTATION_MISMATCH for a file whose orientation tag is not upright, BITS_MISMATCH for one
// with 16 bit samples. `version` is "NAME@VERSION". Also throws as ReadImageHeader.
void CheckReading(const ReadingRule& rule, const model::ImageReading& reading,
                  std::span<const uint8_t> file, const std::string& version);

}  // namespace proad::server
