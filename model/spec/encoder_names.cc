#include "model/spec/encoder_names.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "model/files/error.h"
#include "model/spec/squeezenet_layout.h"

namespace proad::model {
namespace {

constexpr char kClassWrapper[] = "dinov2_with_registers.";
constexpr char kPyramidMark[] = "squeezenet.conv1.weight";

// A tensor of a transformer block, without the block's prefix. Hugging Face stores some as several
// parts; the first name of a part is the one in files, the second the one that a model in memory
// has since transformers 5.
struct BlockTensor {
  const char* official;
  std::vector<std::vector<const char*>> hugging_face;
  std::vector<int64_t> shape;
};

std::vector<BlockTensor> BlockTensors(int64_t width) {
  const int64_t hidden = 4 * width;
  return {
      {"norm1.weight", {{"norm1.weight"}}, {width}},
      {"norm1.bias", {{"norm1.bias"}}, {width}},
      {"attn.qkv.weight",
       {{"attention.attention.query.weight", "attention.q_proj.weight"},
        {"attention.attention.key.weight", "attention.k_proj.weight"},
        {"attention.attention.value.weight", "attention.v_proj.weight"}},
       {3 * width, width}},
      {"attn.qkv.bias",
       {{"attention.attention.query.bias", "attention.q_proj.bias"},
        {"attention.attention.key.bias", "attention.k_proj.bias"},
        {"attention.attention.value.bias", "attention.v_proj.bias"}},
       {3 * width}},
      {"attn.proj.weight",
       {{"attention.output.dense.weight", "attention.o_proj.weight"}},
       {width, width}},
      {"attn.proj.bias", {{"attention.output.dense.bias", "attention.o_proj.bias"}}, {width}},
      {"ls1.gamma", {{"layer_scale1.lambda1"}}, {width}},
      {"norm2.weight", {{"norm2.weight"}}, {width}},
      {"norm2.bias", {{"norm2.bias"}}, {width}},
      {"mlp.fc1.weight", {{"mlp.fc1.weight"}}, {hidden, width}},
      {"mlp.fc1.bias", {{"mlp.fc1.bias"}}, {hidden}},
      {"mlp.fc2.weight", {{"mlp.fc2.weight"}}, {width, hidden}},
      {"mlp.fc2.bias", {{"mlp.fc2.bias"}}, {width}},
      {"ls2.gamma", {{"layer_scale2.lambda1"}}, {width}},
  };
}

// The names of a block's tensor, part by part, after `prefix`.
std::vector<std::vector<std::string>> Parts(const BlockTensor& tensor, const std::string& prefix,
                                            bool hugging_face) {
  if (!hugging_face) return {{prefix + tensor.official}};
  std::vector<std::vector<std::string>> parts;
  for (const auto& alternatives : tensor.hugging_face) {
    parts.emplace_back();
    for (const char* name : alternatives) parts.back().push_back(prefix + name);
  }
  return parts;
}

std::vector<WantedTensor> WantedOfPyramid(int64_t width) {
  std::vector<WantedTensor> wanted = {
      {"directions", {{"directions"}}, {1 + kPatchFeatures, width}}};
  const auto add = [&wanted](const std::string& layer, int64_t outputs, int64_t inputs,
                             int64_t kernel) {
    const std::string weight = "squeezenet." + layer + ".weight";
    const std::string bias = "squeezenet." + layer + ".bias";
    wanted.push_back({weight, {{weight}}, {outputs, inputs, kernel, kernel}});
    wanted.push_back({bias, {{bias}}, {outputs}});
  };
  add("conv1", kConv1Width, 3, 3);
  int64_t inputs = kConv1Width;
  int number = kFirstFire;
  for (const FireWidths& widths : kFires) {
    const std::string fire = "fire" + std::to_string(number++);
    add(fire + ".squeeze1x1", widths.squeezed, inputs, 1);
    add(fire + ".expand1x1", widths.expanded, widths.squeezed, 1);
    add(fire + ".expand3x3", widths.expanded, widths.squeezed, 3);
    inputs = 2 * widths.expanded;
  }
  return wanted;
}

}  // namespace

const char* NameOf(WeightDialect dialect) {
  switch (dialect) {
    case WeightDialect::kOfficial:
      return "official";
    case WeightDialect::kHuggingFace:
      return "huggingface";
    case WeightDialect::kTimm:
      return "timm";
    case WeightDialect::kPyramid:
      return "pyramid";
  }
  return "unknown";
}

EncoderNames::EncoderNames(WeightDialect dialect, std::string prefix)
    : dialect_(dialect), prefix_(std::move(prefix)) {}

EncoderNames EncoderNames::Detect(const TensorFile& file) {
  const auto has = [&](const std::string& name) { return file.tensors.contains(name); };
  if (has("register_tokens")) return {WeightDialect::kOfficial, ""};
  if (has("reg_token")) return {WeightDialect::kTimm, ""};
  if (has(kPyramidMark)) return {WeightDialect::kPyramid, ""};
  for (const std::string& prefix : {std::string(), std::string(kClassWrapper)}) {
    if (has(prefix + "embeddings.register_tokens")) return {WeightDialect::kHuggingFace, prefix};
  }
  const char* what = "a DINOv2 encoder with registers is needed";
  if (has("pos_embed") || has("embeddings.position_embeddings")) {
    what = "this is a vision transformer without registers, and one with registers is needed";
  } else if (has("prototypes")) {
    what = "these are trained weights of a Pro-AD, and its encoder is needed";
  }
  throw InvalidInput("encoder", "ENCODER_UNKNOWN",
                     file.source +
                         ": no register tokens under a known name ('register_tokens' of DINOv2, "
                         "'reg_token' of timm, 'embeddings.register_tokens' of Hugging Face); " +
                         what);
}

std::string EncoderNames::InEmbeddings(const char* official, const char* in_hugging_face) const {
  return hugging_face() ? prefix_ + "embeddings." + in_hugging_face : official;
}

std::string EncoderNames::Blocks() const {
  return hugging_face() ? prefix_ + "encoder.layer." : "blocks.";
}

std::vector<WantedTensor> EncoderNames::Wanted(const EncoderConfig& config) const {
  if (dialect_ == WeightDialect::kPyramid) return WantedOfPyramid(config.width);
  const int64_t width = config.width;
  const int64_t grid = config.position_grid;
  const int64_t slots = grid * grid + (has_class_position() ? 1 : 0);
  const std::string registers = dialect_ == WeightDialect::kTimm
                                    ? "reg_token"
                                    : InEmbeddings("register_tokens", "register_tokens");
  const std::string kernel =
      InEmbeddings("patch_embed.proj.weight", "patch_embeddings.projection.weight");
  const std::string bias =
      InEmbeddings("patch_embed.proj.bias", "patch_embeddings.projection.bias");
  std::vector<WantedTensor> wanted = {
      {"cls_token", {{cls_token()}}, {1, 1, width}},
      {"pos_embed", {{positions()}}, {1, slots, width}},
      {"register_tokens", {{registers}}, {1, config.registers, width}},
      {"patch_embed.proj.weight", {{kernel}}, {width, 3, config.patch, config.patch}},
      {"patch_embed.proj.bias", {{bias}}, {width}},
  };
  for (int i = 0; i < config.blocks; ++i) {
    const std::string index = std::to_string(i) + ".";
    for (const BlockTensor& tensor : BlockTensors(width)) {
      WantedTensor entry = {"blocks." + index + tensor.official,
                            Parts(tensor, Blocks() + index, hugging_face()), tensor.shape};
      entry.part_shape[0] /= static_cast<int64_t>(entry.parts.size());
      wanted.push_back(std::move(entry));
    }
  }
  return wanted;
}

bool EncoderNames::IsLegalExtra(const std::string& name, const EncoderConfig& config) const {
  if (dialect_ == WeightDialect::kPyramid) return false;
  static constexpr std::array kNative = {"mask_token",  "norm.weight", "norm.bias",
                                         "head.weight", "head.bias",   "fc_norm.weight",
                                         "fc_norm.bias"};
  static constexpr std::array kHuggingFace = {"embeddings.mask_token", "layernorm.weight",
                                              "layernorm.bias"};
  static constexpr std::array kClassifier = {"classifier.weight", "classifier.bias"};
  const auto is = [&](const std::string& prefix, const auto& names) {
    return std::any_of(names.begin(), names.end(),
                       [&](const char* known) { return name == prefix + known; });
  };
  if (!hugging_face() && is("", kNative)) return true;
  if (hugging_face() && (is(prefix_, kHuggingFace) || is("", kClassifier))) return true;

  // A block that is not run, and in it a name that a block's tensor can have.
  const std::string blocks = Blocks();
  if (!name.starts_with(blocks)) return false;
  int index = -1;
  const char* end = name.data() + name.size();
  const auto [dot, error] = std::from_chars(name.data() + blocks.size(), end, index);
  if (error != std::errc() || dot == end || *dot != '.' || index < config.blocks) return false;
  const std::string prefix(name.data(), dot + 1);
  for (const BlockTensor& tensor : BlockTensors(config.width)) {
    for (const auto& alternatives : Parts(tensor, prefix, hugging_face())) {
      if (std::find(alternatives.begin(), alternatives.end(), name) != alternatives.end()) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace proad::model
