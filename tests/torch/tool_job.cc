#include "tests/torch/tool_job.h"

#include <ATen/ATen.h>

#include <cstring>
#include <exception>
#include <iostream>
#include <sstream>
#include <stdexcept>

#include "model/files/safetensors.h"
#include "model/spec/preset.h"

namespace proad::model::testing {
namespace {

Options ParseOptions(const std::string& line) {
  Options options;
  std::istringstream words(line);
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) throw std::invalid_argument("not name=value: " + word);
    options[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return options;
}

template <typename T>
void Override(Options& options, const std::string& name, T& value) {
  if (options.contains(name)) value = static_cast<T>(std::stoi(Take(options, name)));
}

}  // namespace

std::string Take(Options& options, const std::string& name, const std::string& otherwise) {
  const auto it = options.find(name);
  if (it == options.end()) return otherwise;
  const std::string value = it->second;
  options.erase(it);
  return value;
}

void RefuseRest(const Options& options) {
  if (!options.empty()) throw std::invalid_argument("unknown option " + options.begin()->first);
}

ModelConfig TakeConfig(Options& options) {
  ModelConfig config = PresetConfig(Take(options, "preset", "proad-base"));
  Override(options, "decoder_layers", config.decoder_layers);
  Override(options, "groups", config.groups);
  Override(options, "input_height", config.input_height);
  Override(options, "input_width", config.input_width);
  Override(options, "adaptive_noisy_bottleneck", config.adaptive_noisy_bottleneck);
  Override(options, "dynamic_decoder", config.dynamic_decoder);
  Override(options, "prototype_constraint", config.prototype_constraint);
  if (Take(options, "position_resize", "official") == "lineage") {
    config.encoder.position_resize = PositionResize::kLineage;
  }
  return config;
}

torch::Tensor CopyTensor(const TensorView& view, at::ScalarType type) {
  torch::Tensor tensor = at::empty(view.shape, at::TensorOptions(type));
  if (tensor.nbytes() != view.data.size()) throw std::invalid_argument("input of another type");
  std::memcpy(tensor.data_ptr(), view.data.data(), view.data.size());
  return tensor;
}

void Write(const std::string& path, std::map<std::string, torch::Tensor> tensors) {
  std::map<std::string, TensorView> views;
  for (auto& [name, tensor] : tensors) {
    const bool wide = tensor.scalar_type() == at::kDouble;
    tensor = tensor.detach().to(wide ? at::kDouble : at::kFloat).contiguous();
    views[name] = {wide ? DType::kF64 : DType::kF32,
                   tensor.sizes().vec(),
                   {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}};
  }
  WriteSafetensors(path, views);
}

void AnswerJobs(const std::function<std::string(Options)>& job) {
  for (std::string line; std::getline(std::cin, line);) {
    try {
      std::cout << "ok " << job(ParseOptions(line)) << std::endl;
    } catch (const std::exception& error) {
      std::cout << "error " << error.what() << std::endl;
    }
  }
}

}  // namespace proad::model::testing
