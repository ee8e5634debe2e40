// The last checkpoint of a training run, from which a later run continues.
//
// last_checkpoint.h has the format. The state file is written before the pointer is replaced
// atomically, so the pointer always names a complete checkpoint.
//
// Thread-safety: one thread and one process at a time per directory.
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

// A computation whose state can be saved and restored.
class Resumable {
 public:
  virtual ~Resumable() = default;

  // Writes all state that later steps depend on, completely and synced. Throws FileError.
  virtual void Save(const std::filesystem::path& file) const = 0;

  // Restores the state. Throws FileError, or CorruptFile for a file that Save did not write for the
  // same run; then nothing has changed.
  virtual void Load(const std::filesystem::path& file) = 0;
};

// Restores `run` from the last checkpoint; nullopt if there is none. Throws FileError, and
// CorruptFile that names the damaged file.
std::optional<TrainingPosition> RestoreTraining(const std::filesystem::path& directory,
                                                Resumable& run);

// Saves the state of `run` as the last checkpoint and removes the previous one. Throws FileError,
// for example if the disk is full; then the previous checkpoint is still the last.
void SaveTraining(const std::filesystem::path& directory, const Resumable& run,
                  const TrainingPosition& position);

using NamedTensors = std::map<std::string, torch::Tensor>;

// Writes `parameters`, the state of `optimizer`, and `others` (float32 or int64), completely and
// synced. Throws FileError.
void WriteState(const std::filesystem::path& file,
                const torch::OrderedDict<std::string, torch::Tensor>& parameters,
                const StableAdamW& optimizer, const NamedTensors& others = {});

// Copies such a file into `parameters` and `optimizer`, and returns the others on the CPU. Throws
// FileError, or CorruptFile if the file has other parameters; then nothing has changed.
NamedTensors ReadState(const std::filesystem::path& file,
                       torch::OrderedDict<std::string, torch::Tensor> parameters,
                       StableAdamW& optimizer);

// Copies the weights of such a file into `parameters`. Throws as ReadState.
void ReadWeights(const std::filesystem::path& file,
                 torch::OrderedDict<std::string, torch::Tensor> parameters);

}  // namespace proad::model
