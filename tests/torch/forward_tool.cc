// Runs the network on files of pictures and writes everything that it computed, for the scripts
// beside this file to compare with other implementations. Takes one job a line from its standard
// input, and answers each with one line: "ok" and the encoder's dialect, or "error" and what is
// wrong. A job is words of the form name=value:
//
//   encoder=FILE input=FILE output=FILE preset=NAME [weights=FILE] [option=value ...]
//   store=DIRECTORY encoder=FILE weights=FILE preset=NAME      makes a version; the answer is its
//   directory
//
// Options, all of ModelConfig: decoder_layers groups input_height input_width
// position_resize=official|lineage, and adaptive_noisy_bottleneck, dynamic_decoder,
// prototype_constraint = 0|1. input: safetensors with "pixels" uint8 [B, H, W, 3] or "images",
// normalised float [B, 3, H, W]. output: safetensors with tap.<i>, and with weights
// encoder_group.<g>, decoder_group.<g> [B, h, w, C], map, score, and for pixels also frozen_map and
// frozen_score.

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <cstring>
#include <exception>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "model/anomaly_map.h"
#include "model/config.h"
#include "model/encoder.h"
#include "model/frozen_pro_ad.h"
#include "model/import_version.h"
#include "model/pro_ad.h"
#include "model/safetensors.h"
#include "model/tensor_file.h"
#include "model/weight_import.h"

namespace proad::model {
namespace {

using Options = std::map<std::string, std::string>;

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

// Takes an option out, so that what is left over at the end is unknown.
std::string Take(Options& options, const std::string& name, const std::string& otherwise = "") {
  const auto it = options.find(name);
  if (it == options.end()) return otherwise;
  const std::string value = it->second;
  options.erase(it);
  return value;
}

template <typename T>
void Override(Options& options, const std::string& name, T& value) {
  if (options.contains(name)) value = static_cast<T>(std::stoi(Take(options, name)));
}

ModelConfig ConfigFrom(Options& options) {
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
    tensor = tensor.to(at::kFloat).contiguous();
    views[name] = {DType::kF32,
                   tensor.sizes().vec(),
                   {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}};
  }
  WriteSafetensors(path, views);
}

// Makes a version; returns its directory.
std::string Publish(Options options) {
  return ImportVersion({.store = Take(options, "store"),
                        .name = "version",
                        .preset = Take(options, "preset"),
                        .encoder_file = Take(options, "encoder"),
                        .weights_file = Take(options, "weights")})
      .directory;
}

// Runs the network; returns the encoder's dialect.
std::string Run(Options options) {
  const c10::InferenceMode inference;
  ModelConfig config = ConfigFrom(options);
  const ImportedEncoder imported =
      ImportEncoder(ReadTensorFile(Take(options, "encoder")), config.encoder);
  config.encoder = imported.config;
  const TensorFile input = ReadTensorFile(Take(options, "input"));
  const std::string output = Take(options, "output");
  const std::string weights = Take(options, "weights");
  if (!options.empty()) throw std::invalid_argument("unknown option " + options.begin()->first);

  Preprocessing preprocessing;
  preprocessing.resize_height = preprocessing.crop_height = config.input_height;
  preprocessing.resize_width = preprocessing.crop_width = config.input_width;
  ProAd model(config);
  LoadEncoder(model, imported);
  model->eval();

  torch::Tensor pixels;
  torch::Tensor images;
  if (input.tensors.contains("pixels")) {
    pixels = CopyTensor(input.tensors.at("pixels"), at::kByte);
    images = Normalize(pixels, preprocessing);
  } else {
    images = CopyTensor(input.tensors.at("images"), at::kFloat);
  }

  std::map<std::string, torch::Tensor> computed;
  const auto add = [&](const std::string& name, const std::vector<torch::Tensor>& tensors) {
    for (size_t i = 0; i < tensors.size(); ++i) computed[name + std::to_string(i)] = tensors[i];
  };
  add("tap.", model->encoder->forward(images));
  if (!weights.empty()) {
    LoadTrainable(model, ReadTensorFile(weights));
    const Reconstruction reconstruction = model->forward(images);
    add("encoder_group.", reconstruction.encoder_groups);
    add("decoder_group.", reconstruction.decoder_groups);
    computed["map"] = AnomalyMap(config, at::kCPU)(reconstruction);
    computed["score"] = ImageScore(computed["map"]);
    if (pixels.defined()) {
      const Scored scored = FrozenProAd(model, preprocessing).Detect(pixels);
      computed["frozen_map"] = scored.maps;
      computed["frozen_score"] = scored.scores;
    }
  }
  Write(output, std::move(computed));
  return NameOf(imported.dialect);
}

}  // namespace
}  // namespace proad::model

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    try {
      proad::model::Options options = proad::model::ParseOptions(line);
      const bool publish = options.contains("store");
      std::cout << "ok " << (publish ? proad::model::Publish(options) : proad::model::Run(options))
                << std::endl;
    } catch (const std::exception& error) {
      std::cout << "error " << error.what() << std::endl;
    }
  }
  return 0;
}
