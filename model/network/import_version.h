// Makes a version of a model store out of weight files: what `proad-trainer import` does.
//
// Safe to call from any thread and any process (version_directory.h).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/spec/manifest.h"
#include "model/spec/preset.h"

namespace proad::model {

struct ImportOptions {
  std::filesystem::path store;  // made when absent
  std::string name;             // of the model
  std::string version;          // "": one more than the highest number there is, from "1" on
  std::string preset = kDefaultPreset;
  std::filesystem::path
      encoder_file;  // any dialect of weight_import.h, safetensors or PyTorch archive
  std::filesystem::path weights_file;  // names of a checkpoint's model.safetensors, same containers
  // Manifest of the version that these very files are from, by their SHA-256; "": none. Network,
  // preprocessing, thresholds, figures and the record of the training are then as it has them;
  // preset, position_resize and map_range are not looked at.
  std::filesystem::path manifest_file;
  PositionResize position_resize = PositionResize::kOfficial;
  std::optional<MapRange> map_range;  // default: PresetMapRange(preset)
  std::string code_version;           // recorded in the manifest
};

struct ImportedVersion {
  std::filesystem::path directory;  // STORE/NAME/VERSION
  Manifest manifest;
  std::vector<std::string> warnings;  // for people; the version is usable all the same
};

// Throws FileError, CorruptFile or InvalidInput, and then leaves nothing behind.
ImportedVersion ImportVersion(const ImportOptions& options);

}  // namespace proad::model
