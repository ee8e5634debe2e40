// How an image file is read where its bytes allow more than one way. Training and serving read
// images of a version in the same way, which its manifest records.
//
// No LibTorch. Values and pure functions: safe to use from any thread.
#pragma once

#include <string>

namespace proad::model {

// The orientation tag of a file says how its stored pixels are turned to the upright view.
enum class Orientation {
  kIgnore,  // coordinates are those of the stored pixels
  kApply,   // coordinates are those of the upright view
};

// "ignore", "apply".
const char* NameOf(Orientation orientation);

// Throws InvalidInput (field "orientation") that lists the names.
Orientation ParseOrientation(const std::string& name);

struct ImageReading {
  Orientation orientation = Orientation::kIgnore;
  // Significant bits of 16 bit samples, which lie in the low bits: 10, 12, 14 or 16; the largest
  // number of so many bits becomes 255. 0: as the file states (see SignificantBits), else 16.
  int bits = 0;

  bool operator==(const ImageReading&) const = default;
};

// The reading of versions and jobs that record none.
inline constexpr ImageReading kUnrecordedReading{.orientation = Orientation::kIgnore, .bits = 16};

// Throws InvalidInput (field "bits") unless bits is 0, 10, 12, 14 or 16.
void Validate(const ImageReading& reading);

}  // namespace proad::model
