// A trained network on disk: a directory with manifest.json, model.safetensors (trained tensors),
// encoder.safetensors (the frozen encoder under official names) and probe.png.
//
// A directory is written completely or not at all (version_directory.h), is never changed, and is
// verified by SHA-256 when it is read. Functions are safe to call from any thread while no thread
// changes the model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "model/network/pro_ad.h"
#include "model/spec/manifest.h"

namespace proad::model {

struct Checkpoint {
  ProAd model{nullptr};  // on the CPU, float32, in evaluation mode
  Manifest manifest;
};

// Publishes `model` as `directory` (STORE/NAME/VERSION; STORE must exist). Sets the manifest's
// config to the model's, its probe to `probe_png` (an encoded image) and the model's score of it,
// and `files` and `hash`. Returns the manifest as written.
//
// The encoder is stored as F16 or BF16 if every weight is exact in it (it came from such a file),
// and as F32 otherwise; trained tensors are always F32. The bytes of both files depend on the
// weights alone.
//
// Throws as WriteVersion, and InvalidInput if the probe cannot be decoded or its score is not
// finite. After an error the store is unchanged.
Manifest SaveCheckpoint(const ProAd& model, Manifest manifest, std::span<const uint8_t> probe_png,
                        const std::filesystem::path& directory);

// Compares every file with its digest and reads the network. Throws FileError, or CorruptFile that
// names the file and the wrong tensor, if there is one. Does not score the probe.
Checkpoint LoadCheckpoint(const std::filesystem::path& directory);

}  // namespace proad::model
