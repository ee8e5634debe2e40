#include "server/util/image_keys.h"

#include <string>

#include "absl/status/statusor.h"
#include "server/util/whole_file.h"

namespace proad::server {

std::vector<Option> ImageKeys(model::ImageLimits& limits) {
  return {Option::Bytes("image.max_bytes", limits.max_bytes, 1 << 10, 1LL << 30),
          Option::Integer("image.max_pixels", limits.max_pixels, 1, 1'000'000'000),
          Option::Integer("image.max_side", limits.max_side, 1, 65'535)};
}

absl::Status ReadImageKeys(const std::filesystem::path& file, model::ImageLimits& limits) {
  const absl::StatusOr<std::string> yaml = ReadWholeFile(file, 1 << 20);
  if (!yaml.ok()) return yaml.status();
  return SetSectionFromYaml(*yaml, file.string(), "image", ImageKeys(limits));
}

}  // namespace proad::server
