#include "model/picture/image_reading.h"

#include "model/files/error.h"
#include "model/files/text.h"

namespace proad::model {

const char* NameOf(Orientation orientation) {
  return orientation == Orientation::kApply ? "apply" : "ignore";
}

Orientation ParseOrientation(const std::string& name) {
  for (const Orientation orientation : {Orientation::kIgnore, Orientation::kApply}) {
    if (name == NameOf(orientation)) return orientation;
  }
  throw InvalidInput("orientation", "VALUE_INVALID",
                     "orientation is " + Quote(name) + "; ignore or apply is expected");
}

void Validate(const ImageReading& reading) {
  const int bits = reading.bits;
  if (bits == 0 || bits == 10 || bits == 12 || bits == 14 || bits == 16) return;
  throw InvalidInput(
      "bits", "VALUE_INVALID",
      "bits is " + std::to_string(bits) + "; 10, 12, 14, 16 or 0 (as the file states) is expected");
}

}  // namespace proad::model
