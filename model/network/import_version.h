// Makes a version of a model store from weight files, for `proad-trainer import`.
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
  std::filesystem::path store;  // created if absent
  std::string name;             // of the model
  std::string version;          // "": the highest number in the store plus one, or "1"
  std::string preset = kDefaultPreset;
  // Any naming scheme of encoder_names.h, as safetensors or PyTorch archive.
  std::filesystem::path encoder_file;
  // Tensor names of a checkpoint's model.safetensors, in the same formats.
  std::filesystem::path weights_file;
  // Manifest of the version that the files belong to, checked by their SHA-256; "": none. It gives
  // network, preprocessing, thresholds, metrics and the training record; preset, position_resize
  // and map_range are then ignored.
  std::filesystem::path manifest_file;
  PositionResize position_resize = PositionResize::kOfficial;
  std::optional<MapRange> map_range;  // default: PresetMapRange(preset)
  std::string code_version;           // recorded in the manifest
};

struct ImportedVersion {
  std::filesystem::path directory;  // STORE/NAME/VERSION
  Manifest manifest;
  std::vector<std::string> warnings;  // texts for the user; the version is usable
};

// Throws FileError, CorruptFile or InvalidInput. After an error the store has no new version.
ImportedVersion ImportVersion(const ImportOptions& options);

}  // namespace proad::model
