// The last checkpoint of a run, so that it can go on after any end.
//
// DIRECTORY/state-<step>.safetensors holds what the trainer needs, and DIRECTORY/checkpoint.json
// says which such file holds and its digest. The file comes first and the pointer is replaced in
// one step, so there is always a whole checkpoint, or none yet.
//
// One thread, one process at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "model/trainer.h"

namespace proad::model {

// Where a run was.
struct Checkmark {
  int64_t step = 0;
  double loss = 0;               // of that step
  std::string data_fingerprint;  // of what it trains on

  bool operator==(const Checkmark&) const = default;
};

// Brings `trainer` to the last checkpoint; absent when there is none. Throws FileError, and
// CorruptFile naming the file that is damaged.
std::optional<Checkmark> RestoreTraining(const std::filesystem::path& directory, Trainer& trainer);

// Makes `trainer`'s state the last checkpoint and removes the one before. Throws FileError, for
// example when the disk is full; the one before then holds.
void SaveTraining(const std::filesystem::path& directory, const Trainer& trainer,
                  const Checkmark& mark);

}  // namespace proad::model
