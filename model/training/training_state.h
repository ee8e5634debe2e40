// The last checkpoint of a run, so that it can go on after any end.
//
// Kept as checkmark.h says. The file comes first and the pointer is replaced in one step, so there
// is always a whole checkpoint, or none yet.
//
// One thread, one process at a time.
#pragma once

#include <c10/util/Exception.h>  // ordered_dict.h needs it and does not include it
#include <torch/ordered_dict.h>
#include <torch/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "model/spec/last_checkpoint.h"
#include "model/training/optimizer.h"

namespace proad::model {

// What a run is in the middle of.
class Resumable {
 public:
  virtual ~Resumable() = default;

  // Writes everything that the steps to come depend on, whole and flushed. Throws FileError.
  virtual void Save(const std::filesystem::path& file) const = 0;

  // Goes on from there. Throws FileError, or CorruptFile for a file that Save did not write for
  // the same run; nothing is changed then.
  virtual void Load(const std::filesystem::path& file) = 0;
};

// Brings `run` to the last checkpoint; absent when there is none. Throws FileError, and CorruptFile
// naming the file that is damaged.
std::optional<TrainingPosition> RestoreTraining(const std::filesystem::path& directory,
                                                Resumable& run);

// Makes `run`'s state the last checkpoint and removes the one before. Throws FileError, for example
// when the disk is full; the one before then holds.
void SaveTraining(const std::filesystem::path& directory, const Resumable& run,
                  const TrainingPosition& position);

using NamedTensors = std::map<std::string, torch::Tensor>;

// Writes `parameters`, what `optimizer` knows of them, and `others`, float32 or int64, whole and
// flushed. Throws FileError.
void WriteState(const std::filesystem::path& file,
                const torch::OrderedDict<std::string, torch::Tensor>& parameters,
                const StableAdamW& optimizer, const NamedTensors& others = {});

// Copies such a file into `parameters` and `optimizer`, and returns the others, on the CPU. Throws
// FileError, or CorruptFile where the file is for other parameters; nothing is changed then.
NamedTensors ReadState(const std::filesystem::path& file,
                       torch::OrderedDict<std::string, torch::Tensor> parameters,
                       StableAdamW& optimizer);

}  // namespace proad::model
