// The configuration keys of images, for the server and for the commands that read images.
#pragma once

#include <filesystem>
#include <vector>

#include "absl/status/status.h"
#include "model/picture/image_limits.h"
#include "server/util/options.h"

namespace proad::server {

// image.max_bytes, .max_pixels and .max_side, bound to `limits`, which must outlive them.
std::vector<Option> ImageKeys(model::ImageLimits& limits);

// Sets the keys above from a configuration file of the server, whose other sections are not read.
// NOT_FOUND or INVALID_ARGUMENT, with path and line of every error.
absl::Status ReadImageKeys(const std::filesystem::path& file, model::ImageLimits& limits);

}  // namespace proad::server
