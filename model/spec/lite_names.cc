#include "model/spec/lite_names.h"

#include <charconv>
#include <string_view>

#include "model/spec/efficientnet_lite_layout.h"

namespace proad::model {
namespace {

struct Convolution {
  std::string name;            // of this project
  std::string published;       // of the state dict
  std::string published_norm;  // of the batch norm after it
  std::vector<int64_t> shape;  // of the weight
};

// All convolutions as far as the last stage that `config` uses.
std::vector<Convolution> Convolutions(const EncoderConfig& config) {
  std::vector<Convolution> all = {{"stem", "_conv_stem", "_bn0", {kLiteStemWidth, 3, 3, 3}}};
  int index = 0;
  for (const LiteBlockLayout& block :
       LiteBlocks(config.lite.variant, config.lite.last_stage() + 1)) {
    const std::string number = std::to_string(index++) + ".";
    const auto add = [&](const char* name, const char* published, const char* norm,
                         const std::vector<int64_t>& shape) {
      all.push_back({"blocks." + number + name, "_blocks." + number + published,
                     "_blocks." + number + norm, shape});
    };
    if (block.expanded != block.inputs) {
      add("expand", "_expand_conv", "_bn0", {block.expanded, block.inputs, 1, 1});
    }
    add("depthwise", "_depthwise_conv", "_bn1", {block.expanded, 1, block.kernel, block.kernel});
    add("project", "_project_conv", "_bn2", {block.outputs, block.expanded, 1, 1});
  }
  return all;
}

constexpr const char* kPrefix = "lite.";
constexpr std::string_view kBlocks = "_blocks.";

}  // namespace

std::vector<WantedTensor> WantedByLite(const EncoderConfig& config) {
  std::vector<WantedTensor> wanted;
  for (const Convolution& convolution : Convolutions(config)) {
    const std::string name = kPrefix + convolution.name;
    wanted.push_back({name + ".weight", {{name + ".weight"}}, convolution.shape});
    wanted.push_back({name + ".bias", {{name + ".bias"}}, {convolution.shape[0]}});
  }
  return wanted;
}

std::vector<WantedTensor> WantedOfPublishedLite(const EncoderConfig& config) {
  std::vector<WantedTensor> wanted;
  for (const Convolution& convolution : Convolutions(config)) {
    const std::string name = kPrefix + convolution.name;
    wanted.push_back({name + ".weight", {{convolution.published + ".weight"}}, convolution.shape});
    for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"}) {
      wanted.push_back(
          {name + ".norm" + part, {{convolution.published_norm + part}}, {convolution.shape[0]}});
    }
  }
  return wanted;
}

bool IsExtraOfPublishedLite(const std::string& name, const EncoderConfig& config) {
  if (name.ends_with(".num_batches_tracked")) return true;
  for (const char* head : {"_conv_head.", "_bn1.", "_fc."}) {
    if (name.starts_with(head)) return true;
  }
  if (!name.starts_with(kBlocks)) return false;
  size_t index = 0;
  const auto [dot, error] =
      std::from_chars(name.data() + kBlocks.size(), name.data() + name.size(), index);
  return error == std::errc() && *dot == '.' &&
         index >= LiteBlocks(config.lite.variant, config.lite.last_stage() + 1).size();
}

}  // namespace proad::model
