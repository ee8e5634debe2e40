// The photographs of distillation: all image files of some folders.
//
// No LibTorch. Immutable; safe to use from any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/picture/image.h"
#include "model/picture/image_limits.h"

namespace proad::model {

class Photographs {
 public:
  // Reads all image files (by the ending of their names) of the folders and their subfolders once,
  // in the order of their names. Skips files that cannot be read or have a side below 16 pixels.
  // Throws InvalidInput (field "photographs") if a path is not a folder or no photograph is left,
  // and FileError.
  explicit Photographs(const std::vector<std::filesystem::path>& folders,
                       const ImageLimits& limits = {});

  int64_t size() const { return static_cast<int64_t>(files_.size()); }

  // Throws FileError, and InvalidInput if the file has changed and cannot be decoded.
  Image Read(int64_t number) const;

  // SHA-256 of names and contents.
  const std::string& fingerprint() const { return fingerprint_; }

  // Skipped files with the reason.
  const std::vector<std::string>& skipped() const { return skipped_; }

 private:
  ImageLimits limits_;
  std::vector<std::filesystem::path> files_;
  std::vector<std::string> skipped_;
  std::string fingerprint_;
};

}  // namespace proad::model
