#include "server/batching/reading_rule.h"

#include "absl/strings/str_cat.h"
#include "model/files/error.h"
#include "model/picture/image_header.h"
#include "model/picture/orientation.h"
#include "server/util/reasons.h"

namespace proad::server {

void CheckReading(const ReadingRule& rule, const model::ImageReading& reading,
                  std::span<const uint8_t> file, const std::string& version) {
  const bool turns_differ = rule.orientation && *rule.orientation != reading.orientation;
  const bool bits_differ = rule.bits != 0 && rule.bits != reading.bits;
  if (!turns_differ && !bits_differ) return;
  const model::ImageHeader header = model::ReadImageHeader(file);
  const int tag = turns_differ ? model::ReadOrientation(file, header.format) : 1;
  if (tag != 1) {
    throw model::InvalidImage(
        "encoded", reason::kOrientationMismatch,
        absl::StrCat("the image has the orientation tag ", tag, "; version ", version,
                     " was trained with orientation ", model::NameOf(reading.orientation),
                     ", but image.orientation of this server is ", model::NameOf(*rule.orientation),
                     "; send an upright image, or set image.orientation as the version has it"));
  }
  if (bits_differ && header.bits_per_sample == 16) {
    throw model::InvalidImage(
        "encoded", reason::kBitsMismatch,
        absl::StrCat("the image has samples of 16 bits; version ", version,
                     " was trained with bits ", reading.bits,
                     " (0: as files state), but image.bits of this server is ", rule.bits,
                     "; send samples of 8 bits, or set image.bits as the version has it"));
  }
}

}  // namespace proad::server
