// Where a run was: the pointer to its last checkpoint.
//
// DIRECTORY/state-<step>.safetensors holds what the trainer needs (training_state.h), and
// DIRECTORY/checkpoint.json says which such file holds and its digest.
//
// No LibTorch. Functions are safe to call from any thread; a directory has one writer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace proad::model {

struct Checkmark {
  int64_t step = 0;
  double loss = 0;               // of that step
  std::string data_fingerprint;  // of what it trains on

  bool operator==(const Checkmark&) const = default;
};

struct SavedCheckpoint {
  Checkmark mark;
  std::filesystem::path file;
};

// The last checkpoint, its file compared with the digest; absent when there is none. Throws
// FileError, and CorruptFile naming the file that is damaged or missing.
std::optional<SavedCheckpoint> FindCheckpoint(const std::filesystem::path& directory);

// Makes `checkpoint`, whose file must lie in `directory`, the last one. Throws FileError.
void PointTo(const std::filesystem::path& directory, const SavedCheckpoint& checkpoint);

}  // namespace proad::model
