// The pictures that a student encoder learns from: all that lie in some folders, whatever they
// show.
//
// No LibTorch. Immutable; safe to use from any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/picture/image.h"

namespace proad::model {

class Photographs {
 public:
  // Reads every picture file (by its name's ending) of the folders and their folders once, in the
  // order of their names; what cannot be read, or is smaller than 16 pixels, is left out. Throws
  // InvalidInput (field "photographs") for a folder that is none or when nothing is left, and
  // FileError.
  explicit Photographs(const std::vector<std::filesystem::path>& folders,
                       const ImageLimits& limits = {});

  int64_t size() const { return static_cast<int64_t>(files_.size()); }

  // Throws FileError, or InvalidInput where the file has changed since.
  Image Read(int64_t number) const;

  // SHA-256 over names and contents.
  const std::string& fingerprint() const { return fingerprint_; }

  // Left out, with the reason.
  const std::vector<std::string>& skipped() const { return skipped_; }

 private:
  ImageLimits limits_;
  std::vector<std::filesystem::path> files_;
  std::vector<std::string> skipped_;
  std::string fingerprint_;
};

}  // namespace proad::model
