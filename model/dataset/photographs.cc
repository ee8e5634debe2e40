#include "model/dataset/photographs.h"

#include <algorithm>
#include <set>
#include <span>
#include <system_error>

#include "model/dataset/dataset_root.h"
#include "model/files/error.h"
#include "model/files/sha256.h"
#include "model/files/text.h"
#include "model/picture/image_file.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

constexpr int kSmallestSide = 16;

[[noreturn]] void Refuse(const std::string& reason, const std::string& message) {
  throw InvalidInput("photographs", reason, message);
}

// Sorted, so that the numbers are the same on every machine.
std::set<fs::path> ImageFilesBelow(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    Refuse("NOT_FOUND", "photographs: " + Quote(folder.string()) + " is not a folder");
  }
  std::set<fs::path> files;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (entry->is_regular_file() && IsImageName(entry->path().filename().string())) {
      files.insert(entry->path());
    }
  }
  if (error) throw FileError(folder, "list the photographs", error.value());
  return files;
}

}  // namespace

Photographs::Photographs(const std::vector<fs::path>& folders, const ImageLimits& limits)
    : limits_(limits) {
  Sha256 digest;
  for (const fs::path& folder : folders) {
    for (const fs::path& file : ImageFilesBelow(folder)) {
      try {
        const std::vector<uint8_t> bytes = ReadImageFile(file, limits_, Links::kFollow);
        const Image image = DecodeImageFile(bytes, file, limits_);
        if (std::min(image.width, image.height) < kSmallestSide) {
          skipped_.push_back(file.string() + ": smaller than 16 pixels");
          continue;
        }
        digest.Add(file.lexically_relative(folder).generic_string() + "\n" +
                   Sha256Hex(std::as_bytes(std::span(bytes))) + "\n");
        files_.push_back(file);
      } catch (const InvalidInput& unreadable) {
        skipped_.push_back(unreadable.what());
      }
    }
  }
  if (files_.empty()) {
    Refuse("EMPTY", "photographs: there is no readable image in " +
                        (folders.empty() ? "no folder" : Quote(folders[0].string())) +
                        (folders.size() > 1 ? " and the other folders" : ""));
  }
  fingerprint_ = digest.Hex();
}

Image Photographs::Read(int64_t number) const {
  const fs::path& file = files_.at(static_cast<size_t>(number));
  return DecodeImageFile(ReadImageFile(file, limits_, Links::kFollow), file, limits_);
}

}  // namespace proad::model
