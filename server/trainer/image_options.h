// The command line options for the limits of images.
#pragma once

#include <CLI/CLI.hpp>

#include "model/picture/image_limits.h"

namespace proad::server {

// Adds --config FILE, of which the section `image` is read, and --max-image-bytes,
// --max-image-pixels and --max-image-side, which take precedence over the file. `limits` has its
// values once the command line is parsed, before the command's own callback, and must live as long
// as the command. A file or value that is not valid is an error of the command line.
void AddImageOptions(CLI::App& command, model::ImageLimits& limits);

}  // namespace proad::server
