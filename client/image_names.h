// The names of image files that the clients inspect and upload.
//
// Functions without state: safe to call from any thread.
#pragma once

#include <filesystem>
#include <string>

namespace proad::client {

// Returns true when the extension, in any case, is that of an image that the server decodes. The
// server's list is ImageEndings in model/dataset/skipped_entries.h.
bool HasImageExtension(const std::filesystem::path& path);

// The extensions of images, for messages: ".bmp, .dib, ... and .webp".
std::string ImageExtensions();

}  // namespace proad::client
