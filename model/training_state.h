// The last checkpoint of a run, so that it can go on after any end.
//
// Kept as checkmark.h says. The file comes first and the pointer is replaced in one step, so there
// is always a whole checkpoint, or none yet.
//
// One thread, one process at a time.
#pragma once

#include <filesystem>
#include <optional>

#include "model/checkmark.h"
#include "model/trainer.h"

namespace proad::model {

// Brings `trainer` to the last checkpoint; absent when there is none. Throws FileError, and
// CorruptFile naming the file that is damaged.
std::optional<Checkmark> RestoreTraining(const std::filesystem::path& directory, Trainer& trainer);

// Makes `trainer`'s state the last checkpoint and removes the one before. Throws FileError, for
// example when the disk is full; the one before then holds.
void SaveTraining(const std::filesystem::path& directory, const Trainer& trainer,
                  const Checkmark& mark);

}  // namespace proad::model
