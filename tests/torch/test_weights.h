// A network small enough for tests, and weight files for it made in memory.
#pragma once

#include <ATen/ATen.h>

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/files/tensor_file.h"
#include "model/network/pro_ad.h"
#include "model/network/vision_transformer.h"
#include "model/picture/preprocess.h"
#include "model/spec/config.h"
#include "model/spec/encoder_names.h"
#include "model/spec/manifest.h"

namespace proad::model {

using NamedTensors = std::map<std::string, torch::Tensor>;

// 2 blocks, 2 decoder layers, 9 tokens.
inline ModelConfig SmallConfig() {
  ModelConfig config;
  config.preset = "proad-tiny";
  config.encoder = {.width = 8, .heads = 2, .blocks = 2, .position_grid = 3, .taps = {0, 1}};
  config.decoder_layers = 2;
  config.groups = 2;
  config.input_height = 28;
  config.input_width = 28;
  return config;
}

inline Preprocessing SmallPreprocessing() {
  return {.resize_height = 28, .resize_width = 28, .crop_height = 28, .crop_width = 28};
}

inline Manifest SmallManifest() {
  Manifest manifest;
  manifest.name = "small";
  manifest.version = "1";
  manifest.created = "2026-01-02T03:04:05Z";
  manifest.code_version = "0.1.0";
  manifest.config = SmallConfig();
  manifest.preprocessing = SmallPreprocessing();
  manifest.encoder = {"small.pth", std::string(64, 'a'), "official"};
  return manifest;
}

// Random tensors for all that an encoder of `config` needs, under the names that `names` looks for
// first.
inline NamedTensors EncoderTensors(const EncoderNames& names, const EncoderConfig& config) {
  at::manual_seed(5);
  NamedTensors tensors;
  for (const WantedTensor& wanted : names.Wanted(config)) {
    for (const auto& part : wanted.parts) {
      // Round to half precision, so that every float type of a file holds the same values.
      tensors[part.front()] = (at::randn(wanted.part_shape) * 0.3).to(at::kHalf).to(at::kFloat);
    }
  }
  return tensors;
}

// The names of a dialect, found as the code under test finds them.
inline EncoderNames NamesOf(const std::string& register_tokens) {
  TensorFile file;
  file.tensors[register_tokens] = {};
  return EncoderNames::Detect(file);
}

inline NamedTensors OfficialTensors(const ModelConfig& config = SmallConfig()) {
  return EncoderTensors(NamesOf("register_tokens"), config.encoder);
}

inline const VisionTransformerImpl& VisionTransformerOf(const ProAd& model) {
  return dynamic_cast<const VisionTransformerImpl&>(*model->encoder);
}

inline DType TypeOf(const torch::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kHalf:
      return DType::kF16;
    case at::kBFloat16:
      return DType::kBF16;
    case at::kLong:
      return DType::kI64;
    case at::kDouble:
      return DType::kF64;
    default:
      return DType::kF32;
  }
}

// A file with these tensors. Each starts at an odd address, as the format allows.
inline TensorFile ToFile(const NamedTensors& tensors, const std::string& source = "weights.file") {
  size_t size = 0;
  for (const auto& [name, tensor] : tensors) size += tensor.nbytes() + 3;
  auto bytes = std::make_shared<std::vector<std::byte>>(size);
  TensorFile file{.source = source, .tensors = {}, .metadata = {}, .bytes = bytes};
  std::byte* next = bytes->data();
  for (const auto& [name, tensor] : tensors) {
    next += reinterpret_cast<uintptr_t>(next) % 2 == 0 ? 1 : 2;
    const torch::Tensor dense = tensor.contiguous();
    std::memcpy(next, dense.const_data_ptr(), dense.nbytes());
    file.tensors[name] = {TypeOf(dense), dense.sizes().vec(), {next, dense.nbytes()}};
    next += dense.nbytes();
  }
  return file;
}

}  // namespace proad::model
