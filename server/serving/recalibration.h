// Thresholds that Calibrate set for a version after it was published, and their file.
//
// A version directory never changes, so the file is beside it:
// STORE/NAME/.calibration/VERSION.json. It carries the hash of the version's manifest, and every
// server that shares the store reads it.
//
// Thread-safety: all functions may be called from any thread.
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

// By category; the entry of "" applies to every category without an entry of its own.
using Recalibrations = std::map<std::string, Recalibration>;

// The thresholds of one version that Calibrate set; null: none, so those of its manifest apply.
using RecalibrationsInForce = std::shared_ptr<const Recalibrations>;

// The thresholds file of the version in `version_directory`.
std::filesystem::path RecalibrationFile(const std::filesystem::path& version_directory);

// Reads the thresholds of the version with this hash. Empty when there is no file, or when the file
// belongs to another version. DATA_LOSS names the file and the fault.
absl::StatusOr<Recalibrations> ReadRecalibrations(const std::filesystem::path& file,
                                                  const std::string& manifest_hash);

// Replaces the file atomically and flushes it to the disk; creates its folder. RESOURCE_EXHAUSTED
// when the disk is full, INTERNAL when the file system refuses.
absl::Status WriteRecalibrations(const std::filesystem::path& file,
                                 const std::string& manifest_hash,
                                 const Recalibrations& recalibrations);

// Identifies the contents of a file without reading it.
struct FileStamp {
  uint64_t inode = 0;
  int64_t modified = 0;  // nanoseconds
  int64_t bytes = 0;

  bool operator==(const FileStamp&) const = default;
};
// Differs before and after a file is replaced. nullopt: there is no file.
std::optional<FileStamp> StampOf(const std::filesystem::path& file);

}  // namespace proad::server
