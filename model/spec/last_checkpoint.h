// The pointer to the last checkpoint of a training run.
//
// DIRECTORY/state-<step>.safetensors holds the state of the trainer (training_state.h), and
// DIRECTORY/checkpoint.json names the last of these files with its digest.
//
// No LibTorch. Functions are safe to call from any thread; a directory must have one writer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace proad::model {

// How far a run is.
struct TrainingPosition {
  int64_t step = 0;
  double loss = 0;               // of that step
  std::string data_fingerprint;  // of the training data
  int64_t steps = 0;             // of the whole run; 0: unknown, as in older checkpoints
  int64_t train_images = 0;      // used by the steps; 0: unknown

  bool operator==(const TrainingPosition&) const = default;
};

struct LastCheckpoint {
  TrainingPosition position;
  std::filesystem::path file;
};

// Reads the pointer and compares the file with its digest. Absent if there is no checkpoint. Throws
// FileError, and CorruptFile that names a damaged or missing file.
std::optional<LastCheckpoint> FindLastCheckpoint(const std::filesystem::path& directory);

// Makes `checkpoint` the last one. Its file must lie in `directory`. Throws FileError.
void SetLastCheckpoint(const std::filesystem::path& directory, const LastCheckpoint& checkpoint);

}  // namespace proad::model
