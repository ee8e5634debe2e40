// Reads image files of a dataset from the disk.
//
// No LibTorch. Safe to call from any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "model/picture/image.h"
#include "model/picture/image_limits.h"
#include "model/picture/image_reading.h"

namespace proad::model {

// Whether a path may contain symbolic links.
enum class Links {
  kNone,    // for the resolved paths of a Dataset: a link in them was added after the check
  kFollow,  // for paths that the user names on the command line
};

// Reads at most `limit` + 1 bytes; the extra byte shows that the file is larger. Throws FileError.
std::vector<uint8_t> ReadFileUpTo(const std::filesystem::path& path, int64_t limit,
                                  Links links = Links::kNone);

// Reads a whole image file. Throws InvalidInput (field "dataset", UNREADABLE_IMAGE) that names a
// file that is empty or larger than `limits.max_bytes`, and FileError.
std::vector<uint8_t> ReadImageFile(const std::filesystem::path& path, const ImageLimits& limits,
                                   Links links = Links::kNone);

// DecodeImage with errors that name the file: InvalidInput (field "dataset", UNREADABLE_IMAGE).
Image DecodeImageFile(const std::vector<uint8_t>& bytes, const std::filesystem::path& path,
                      const ImageLimits& limits, const ImageReading& reading = {});

}  // namespace proad::model
