#include "model/training/training_state.h"

#include <ATen/ATen.h>

#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include "model/files/error.h"
#include "model/files/safetensors.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

constexpr char kStatePrefix[] = "state-";
// Prefixes of the tensor names in a state file.
constexpr std::string_view kWeights = "model.";
constexpr std::string_view kOptimizer = "optimizer.";
constexpr std::string_view kOthers = "other.";

// Removes older state files and partly written ones.
void RemoveOthers(const fs::path& directory, const std::string& kept) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename();
    if (name != kept && name.find(kStatePrefix) != std::string::npos) fs::remove(entry, error);
  }
}

TensorView ViewOf(const torch::Tensor& tensor) {
  return {tensor.scalar_type() == at::kLong ? DType::kI64 : DType::kF32,
          tensor.sizes().vec(),
          {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}};
}

// Undefined if the file has the tensor in another type.
torch::Tensor CopyOf(const TensorView& view) {
  torch::Tensor tensor = at::empty(view.shape, view.dtype == DType::kI64 ? at::kLong : at::kFloat);
  if (view.data.size() != tensor.nbytes()) return {};
  std::memcpy(tensor.data_ptr(), view.data.data(), view.data.size());
  return tensor;
}

// The tensors whose names begin with `prefix`, by the rest of their names.
NamedTensors CopyAll(const TensorFile& file, std::string_view prefix) {
  NamedTensors tensors;
  for (const auto& [name, view] : file.tensors) {
    if (name.starts_with(prefix)) tensors[name.substr(prefix.size())] = CopyOf(view);
  }
  return tensors;
}

// The weights of all `parameters`. Throws CorruptFile if one is missing or has another shape.
NamedTensors WeightsOf(const TensorFile& stored, const fs::path& file,
                       const torch::OrderedDict<std::string, torch::Tensor>& parameters) {
  NamedTensors weights = CopyAll(stored, kWeights);
  for (const auto& parameter : parameters) {
    const auto found = weights.find(parameter.key());
    if (found == weights.end() || !found->second.defined() ||
        found->second.sizes() != parameter.value().sizes()) {
      throw CorruptFile(file, "has no tensor model." + parameter.key() + " of this network");
    }
  }
  return weights;
}

void CopyWeights(const NamedTensors& weights,
                 torch::OrderedDict<std::string, torch::Tensor>& parameters) {
  const torch::NoGradGuard no_grad;
  for (auto& parameter : parameters) parameter.value().copy_(weights.at(parameter.key()));
}

}  // namespace

std::optional<TrainingPosition> RestoreTraining(const fs::path& directory, Resumable& run) {
  const std::optional<LastCheckpoint> saved = FindLastCheckpoint(directory);
  if (!saved) return std::nullopt;
  run.Load(saved->file);
  return saved->position;
}

void SaveTraining(const fs::path& directory, const Resumable& run,
                  const TrainingPosition& position) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) throw FileError(directory, "create the directory of checkpoints", error.value());
  const std::string name = kStatePrefix + std::to_string(position.step) + ".safetensors";
  run.Save(directory / name);
  SetLastCheckpoint(directory, {position, directory / name});
  RemoveOthers(directory, name);
}

void WriteState(const fs::path& file,
                const torch::OrderedDict<std::string, torch::Tensor>& parameters,
                const StableAdamW& optimizer, const NamedTensors& others) {
  NamedTensors tensors;
  const auto put = [&tensors](std::string_view prefix, const std::string& name,
                              const torch::Tensor& tensor) {
    tensors[std::string(prefix) + name] = tensor.detach().to(at::kCPU).contiguous();
  };
  for (const auto& parameter : parameters) put(kWeights, parameter.key(), parameter.value());
  for (const auto& [name, tensor] : optimizer.State()) put(kOptimizer, name, tensor);
  for (const auto& [name, tensor] : others) put(kOthers, name, tensor);
  std::map<std::string, TensorView> views;
  for (const auto& [name, tensor] : tensors) views[name] = ViewOf(tensor);
  WriteSafetensors(file, views);
}

NamedTensors ReadState(const fs::path& file,
                       torch::OrderedDict<std::string, torch::Tensor> parameters,
                       StableAdamW& optimizer) {
  const TensorFile stored = ReadSafetensors(file);
  const NamedTensors weights = WeightsOf(stored, file, parameters);
  NamedTensors state = CopyAll(stored, kOptimizer);
  for (auto& [name, tensor] : state) {
    if (tensor.defined() && name != "steps")
      tensor = tensor.to(parameters.front().value().device());
  }
  try {
    optimizer.Load(state);
  } catch (const InvalidInput& error) {
    throw CorruptFile(file, error.what());
  }
  CopyWeights(weights, parameters);
  return CopyAll(stored, kOthers);
}

void ReadWeights(const fs::path& file, torch::OrderedDict<std::string, torch::Tensor> parameters) {
  CopyWeights(WeightsOf(ReadSafetensors(file), file, parameters), parameters);
}

}  // namespace proad::model
