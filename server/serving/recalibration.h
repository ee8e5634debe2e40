// Thresholds that a version got after it was published, from Calibrate.
//
// A version directory never changes, so they lie beside it, STORE/NAME/.calibration/VERSION.json,
// bound to the version by its manifest's hash. Whoever shares the store reads them there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/spec/manifest.h"

namespace proad::server {

// The threshold of one category.
struct Recalibration {
  model::Calibration calibration;
  int64_t rejected = 0;  // of calibration.images
  absl::Time created;

  bool operator==(const Recalibration&) const = default;
};

// By category; that of "" holds for every category without one of its own.
using Recalibrations = std::map<std::string, Recalibration>;

// What is in force of one version; null: what it was published with.
using RecalibrationsInForce = std::shared_ptr<const Recalibrations>;

// The file of a version that lies in `version_directory`.
std::filesystem::path RecalibrationFile(const std::filesystem::path& version_directory);

// What stands in `file` for the version with this hash; nothing without a file, and for one that
// belongs to an earlier version of the same name. DATA_LOSS naming the file and what is wrong.
absl::StatusOr<Recalibrations> ReadRecalibrations(const std::filesystem::path& file,
                                                  const std::string& manifest_hash);

// Replaces the file, whole or not at all, flushed; makes its folder. RESOURCE_EXHAUSTED when the
// disk is full, INTERNAL where the system refuses.
absl::Status WriteRecalibrations(const std::filesystem::path& file,
                                 const std::string& manifest_hash,
                                 const Recalibrations& recalibrations);

// Which of its contents a file has, without reading it: differs after WriteRecalibrations. nullopt:
// there is none.
struct FileStamp {
  uint64_t inode = 0;
  int64_t modified = 0;  // nanoseconds
  int64_t bytes = 0;

  bool operator==(const FileStamp&) const = default;
};
std::optional<FileStamp> StampOf(const std::filesystem::path& file);

}  // namespace proad::server
