#include "model/dataset/dataset_report.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/files/error.h"
#include "model/files/sha256.h"
#include "model/picture/image_file.h"
#include "model/picture/image_header.h"
#include "model/picture/orientation.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

// The header of a complete image within the limits, as stored. Throws InvalidInput.
ImageHeader Inspect(std::span<const uint8_t> bytes, const ImageLimits& limits) {
  if (bytes.empty()) throw InvalidImage("encoded", "IMAGE_EMPTY", "the file is empty (0 bytes)");
  // ReadFileUpTo stops one byte after the limit, so the size of a larger file is not known.
  const std::string excess = BytesExcess(limits, static_cast<int64_t>(bytes.size()));
  if (!excess.empty())
    throw InvalidImage("encoded", "IMAGE_BYTES_TOO_LARGE", "the file has more bytes: " + excess);
  const ImageHeader header = ReadImageHeader(bytes);
  CheckFileSize(limits, NameOf(header.format), header.width, header.height);
  CheckComplete(bytes, header);
  return header;
}

// The header with the sides of the view in which the image is read.
ImageHeader ViewOf(ImageHeader header, int orientation, const ImageReading& reading) {
  if (reading.orientation == Orientation::kApply && SwapsSides(orientation))
    std::swap(header.width, header.height);
  return header;
}

class Checker {
 public:
  Checker(const Dataset& dataset, const ImageLimits& limits, const ImageReading& reading)
      : dataset_(dataset), limits_(limits), reading_(reading) {}

  DatasetReport Check() {
    std::string identity;
    for (const Sample& sample : dataset_.samples) {
      CategoryReport& category = report_.categories[sample.category];
      Count(sample, sample.split == Split::kTrain ? category.train : category.test);
      std::string digest;
      const std::optional<ImageHeader> header = CheckImage(sample, digest);
      if (header) Widen(*header, category);
      const std::string mask_digest = sample.mask ? CheckMask(sample, header) : "";
      // Lengths, because a name may contain any separator.
      for (const std::string& part :
           {sample.category, std::string(NameOf(sample.split)), sample.defect, sample.name, digest})
        identity += std::to_string(part.size()) + ":" + part;
      if (sample.mask) identity += "mask:" + mask_digest;
    }
    if (reading_.orientation == Orientation::kApply) identity += "orientation:apply";
    if (reading_.bits != 0 && reading_.bits != 16)
      identity += "bits:" + std::to_string(reading_.bits);
    report_.fingerprint = Sha256Hex(identity);
    return std::move(report_);
  }

 private:
  static void Count(const Sample& sample, SplitReport& split) {
    ++(sample.good ? split.good : split.defective);
    if (sample.mask) ++split.masks;
  }

  static void Widen(const ImageHeader& header, CategoryReport& category) {
    const bool first = category.max_width == 0;
    category.min_width = first ? header.width : std::min(category.min_width, header.width);
    category.min_height = first ? header.height : std::min(category.min_height, header.height);
    category.max_width = std::max(category.max_width, header.width);
    category.max_height = std::max(category.max_height, header.height);
  }

  // Also sets the digest of a file that could be read, and compares it with the other split.
  std::optional<ImageHeader> CheckImage(const Sample& sample, std::string& digest) {
    try {
      const std::vector<uint8_t> bytes = ReadFileUpTo(sample.path, limits_.max_bytes);
      digest = Sha256Hex(std::as_bytes(std::span(bytes)));
      const ImageHeader header = Inspect(bytes, limits_);
      FindDuplicate(sample, digest);
      const int orientation = ReadOrientation(bytes, header.format);
      if (orientation != 1) report_.turned.push_back(sample.name);
      return ViewOf(header, orientation, reading_);
    } catch (const InvalidInput& error) {
      report_.unreadable.push_back({sample.name, error.what()});
    } catch (const FileError& error) {
      report_.unreadable.push_back({sample.name, error.what()});
    }
    return std::nullopt;
  }

  void FindDuplicate(const Sample& sample, const std::string& digest) {
    Copies& copies = copies_[digest];
    if (sample.split == Split::kTrain) {
      for (const std::string& test : copies.test)
        report_.duplicates.push_back({.train = sample.name, .test = test});
      copies.test.clear();
      if (copies.train.empty()) copies.train = sample.name;
    } else if (!copies.train.empty()) {
      report_.duplicates.push_back({.train = copies.train, .test = sample.name});
    } else {
      copies.test.push_back(sample.name);
    }
  }

  // Returns the digest of the mask, or "" if it cannot be read.
  std::string CheckMask(const Sample& sample, const std::optional<ImageHeader>& image) {
    const std::string name = sample.mask->lexically_relative(dataset_.root).generic_string();
    std::string digest;
    try {
      const std::vector<uint8_t> bytes = ReadFileUpTo(*sample.mask, limits_.max_bytes);
      digest = Sha256Hex(std::as_bytes(std::span(bytes)));
      const ImageHeader stored = Inspect(bytes, limits_);
      const ImageHeader header = ViewOf(stored, ReadOrientation(bytes, stored.format), reading_);
      if (image && (header.width != image->width || header.height != image->height)) {
        report_.bad_masks.push_back({name, "the mask is " + std::to_string(header.width) + "x" +
                                               std::to_string(header.height) + ", its image " +
                                               std::to_string(image->width) + "x" +
                                               std::to_string(image->height)});
      }
    } catch (const InvalidInput& error) {
      report_.bad_masks.push_back({name, error.what()});
    } catch (const FileError& error) {
      report_.bad_masks.push_back({name, error.what()});
    }
    return digest;
  }

  // Images with the same bytes: the first training image, and the test images seen before it.
  struct Copies {
    std::string train;
    std::vector<std::string> test;
  };

  const Dataset& dataset_;
  const ImageLimits& limits_;
  const ImageReading& reading_;
  DatasetReport report_;
  std::unordered_map<std::string, Copies> copies_;  // by digest
};

}  // namespace

DatasetReport CheckDataset(const Dataset& dataset, const ImageLimits& limits,
                           const DatasetCheckOptions& options) {
  return Checker(dataset, limits, options.reading).Check();
}

}  // namespace proad::model
