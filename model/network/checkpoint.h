// A trained network on disk: a directory with manifest.json, model.safetensors (what was trained),
// encoder.safetensors (the frozen encoder under official DINOv2 names) and probe.png.
//
// Written whole or not at all (version_directory.h), never changed after that, verified by SHA-256
// when it is read. Functions are safe to call from any thread as long as nobody changes the model
// meanwhile.
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

// Publishes `model` as `directory` (STORE/NAME/VERSION; STORE must exist). The manifest's config is
// set to the model's, its probe to `probe_png` (an encoded picture) with the score that the model
// gives it; `files` and `hash` are filled in. Returns the manifest as written.
//
// The encoder is stored in half precision or bfloat16 when that loses nothing, that is, when it
// came from such a file, and in float32 otherwise; trained tensors are always float32. The bytes of
// both files depend on the weights alone.
//
// Throws as WriteVersion does, and InvalidInput for a probe that cannot be decoded or whose score
// is not finite; nothing is left behind then.
Manifest SaveCheckpoint(const ProAd& model, Manifest manifest, std::span<const uint8_t> probe_png,
                        const std::filesystem::path& directory);

// Reads a directory back, after comparing every file with its digest. Throws FileError, or
// CorruptFile naming the file and, where one is wrong, the tensor. The probe is not scored here.
Checkpoint LoadCheckpoint(const std::filesystem::path& directory);

}  // namespace proad::model
