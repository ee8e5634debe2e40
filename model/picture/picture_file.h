// A picture of a dataset, read from its file.
//
// No LibTorch. Safe to call from any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "model/picture/image.h"

namespace proad::model {

// What of a path may be a symbolic link.
enum class Links {
  kNone,    // nothing: paths of a Dataset are resolved and lie inside it, and must be so still
  kFollow,  // everything: who named the path may read whatever it leads to
};

// Up to one byte more than `limit`, so that it shows. Throws FileError.
std::vector<uint8_t> ReadUpTo(const std::filesystem::path& path, int64_t limit,
                              Links links = Links::kNone);

// The whole file, at most `limits.max_bytes` of it. Throws InvalidInput (field "dataset",
// UNREADABLE_IMAGE) naming a file that is empty or too large, and FileError.
std::vector<uint8_t> ReadPicture(const std::filesystem::path& path, const ImageLimits& limits,
                                 Links links = Links::kNone);

// DecodeImage, whose errors become InvalidInput (field "dataset", UNREADABLE_IMAGE) naming the
// file.
Image DecodePicture(const std::vector<uint8_t>& bytes, const std::filesystem::path& path,
                    const ImageLimits& limits);

}  // namespace proad::model
