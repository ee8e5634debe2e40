#include "model/spec/encoder_names.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "model/files/error.h"
#include "model/files/text.h"
#include "model/spec/lite_names.h"
#include "model/spec/squeezenet_layout.h"

namespace proad::model {

// Names without the prefix of a class around the encoder.
struct DialectTraits {
  WeightDialect dialect;
  const char* name;
  EncoderKind kind;
  const char* mark;                   // a tensor that only files of this dialect have
  std::vector<const char*> prefixes;  // that may stand before all names
  const char* width_tensor;           // its last dimension is the width
  // The tensors of a kind other than the vision transformer, and what else may be in its files. The
  // names below are those of a vision transformer.
  std::vector<WantedTensor> (*wanted)(const EncoderConfig& config) = nullptr;
  bool (*is_extra)(const std::string& name, const EncoderConfig& config) = nullptr;
  const char* blocks = "";  // prefix of all blocks
  const char* cls_token = "";
  const char* positions = "";
  const char* registers = "";
  const char* plain_mark = "";  // the same for files without registers; "": there are none
  const char* patch_weight = "";
  const char* patch_bias = "";
  bool has_class_position = true;
  bool has_batch_norms = false;
  bool in_parts = false;                       // query, key and value are separate tensors
  std::vector<const char*> extras = {};        // other tensors that may be in the file
  std::vector<const char*> outer_extras = {};  // the same without the prefix
};

namespace {

constexpr const char* kTransformer = "transformer.";  // in files of a combined encoder

// ---------------------------------------------------------------- tensors

// A tensor of a transformer block, without the prefix of the block. Hugging Face stores some
// tensors in parts. The first name of a part is the one in files; models in memory have the second
// one since transformers 5.
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

// The names of the parts of a block's tensor, with `prefix`.
std::vector<std::vector<std::string>> Parts(const BlockTensor& tensor, const std::string& prefix,
                                            bool in_parts) {
  if (!in_parts) return {{prefix + tensor.official}};
  std::vector<std::vector<std::string>> parts;
  for (const auto& alternatives : tensor.hugging_face) {
    parts.emplace_back();
    for (const char* name : alternatives) parts.back().push_back(prefix + name);
  }
  return parts;
}

std::vector<WantedTensor> WantedByPyramid(const EncoderConfig& config) {
  std::vector<WantedTensor> wanted = {
      {"directions", {{"directions"}}, {1 + kPatchFeatures, config.width}}};
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

// A vision transformer under official names with a prefix, and EfficientNet-Lite.
std::vector<WantedTensor> WantedByCombined(const EncoderConfig& config) {
  std::vector<WantedTensor> wanted = WantedByLite(config);
  const int64_t width = config.width, grid = config.position_grid;
  const auto add = [&wanted](const std::string& official, const std::vector<int64_t>& shape) {
    const std::string name = kTransformer + official;
    wanted.push_back({name, {{name}}, shape});
  };
  add("cls_token", {1, 1, width});
  add("pos_embed", {1, 1 + grid * grid, width});
  if (config.registers > 0) add("register_tokens", {1, config.registers, width});
  add("patch_embed.proj.weight", {width, 3, config.patch, config.patch});
  add("patch_embed.proj.bias", {width});
  for (int i = 0; i < config.blocks; ++i) {
    for (const BlockTensor& tensor : BlockTensors(width)) {
      add("blocks." + std::to_string(i) + "." + tensor.official, tensor.shape);
    }
  }
  return wanted;
}

// ---------------------------------------------------------------- dialects

const std::vector<DialectTraits>& Dialects() {
  static const std::vector<const char*> native_extras = {
      "mask_token", "norm.weight",    "norm.bias",   "head.weight",
      "head.bias",  "fc_norm.weight", "fc_norm.bias"};
  static const std::vector<DialectTraits> dialects = {
      {.dialect = WeightDialect::kOfficial,
       .name = "official",
       .kind = EncoderKind::kVisionTransformer,
       .mark = "register_tokens",
       .prefixes = {""},
       .width_tensor = "cls_token",
       .blocks = "blocks.",
       .cls_token = "cls_token",
       .positions = "pos_embed",
       .registers = "register_tokens",
       .plain_mark = "blocks.0.ls1.gamma",
       .patch_weight = "patch_embed.proj.weight",
       .patch_bias = "patch_embed.proj.bias",
       .extras = native_extras},
      {.dialect = WeightDialect::kTimm,
       .name = "timm",
       .kind = EncoderKind::kVisionTransformer,
       .mark = "reg_token",
       .prefixes = {""},
       .width_tensor = "cls_token",
       .blocks = "blocks.",
       .cls_token = "cls_token",
       .positions = "pos_embed",
       .registers = "reg_token",
       .patch_weight = "patch_embed.proj.weight",
       .patch_bias = "patch_embed.proj.bias",
       .has_class_position = false,
       .extras = native_extras},
      {.dialect = WeightDialect::kPyramid,
       .name = "pyramid",
       .kind = EncoderKind::kPatchPyramid,
       .mark = "squeezenet.conv1.weight",
       .prefixes = {""},
       .width_tensor = "directions",
       .wanted = WantedByPyramid},
      {.dialect = WeightDialect::kLite,
       .name = "lite",
       .kind = EncoderKind::kEfficientNetLite,
       .mark = "_conv_stem.weight",
       .prefixes = {""},
       .width_tensor = "",
       .wanted = WantedOfPublishedLite,
       .is_extra = IsExtraOfPublishedLite,
       .has_batch_norms = true},
      {.dialect = WeightDialect::kCombined,  // before kFoldedLite, whose mark it also has
       .name = "combined",
       .kind = EncoderKind::kCombined,
       .mark = "transformer.cls_token",
       .prefixes = {""},
       .width_tensor = "transformer.cls_token",
       .wanted = WantedByCombined,
       .positions = "transformer.pos_embed"},
      {.dialect = WeightDialect::kFoldedLite,
       .name = "folded-lite",
       .kind = EncoderKind::kEfficientNetLite,
       .mark = "lite.stem.weight",
       .prefixes = {""},
       .width_tensor = "",
       .wanted = WantedByLite},
      {.dialect = WeightDialect::kHuggingFace,
       .name = "huggingface",
       .kind = EncoderKind::kVisionTransformer,
       .mark = "embeddings.register_tokens",
       .prefixes = {"", "dinov2_with_registers.", "dinov2."},
       .width_tensor = "embeddings.cls_token",
       .blocks = "encoder.layer.",
       .cls_token = "embeddings.cls_token",
       .positions = "embeddings.position_embeddings",
       .registers = "embeddings.register_tokens",
       .plain_mark = "encoder.layer.0.layer_scale1.lambda1",
       .patch_weight = "embeddings.patch_embeddings.projection.weight",
       .patch_bias = "embeddings.patch_embeddings.projection.bias",
       .in_parts = true,
       .extras = {"embeddings.mask_token", "layernorm.weight", "layernorm.bias"},
       .outer_extras = {"classifier.weight", "classifier.bias"}},
  };
  return dialects;
}

// Whether the name is that of a tensor of a block that is not run.
bool IsOfLaterBlock(const std::string& name, const std::string& blocks, bool in_parts,
                    const EncoderConfig& config) {
  if (!name.starts_with(blocks)) return false;
  int index = -1;
  const char* end = name.data() + name.size();
  const auto [dot, error] = std::from_chars(name.data() + blocks.size(), end, index);
  if (error != std::errc() || dot == end || *dot != '.' || index < config.blocks) return false;
  const std::string prefix(name.data(), dot + 1);
  for (const BlockTensor& tensor : BlockTensors(config.width)) {
    for (const auto& alternatives : Parts(tensor, prefix, in_parts)) {
      if (std::find(alternatives.begin(), alternatives.end(), name) != alternatives.end()) {
        return true;
      }
    }
  }
  return false;
}

// ---------------------------------------------------------------- prefixes

// Names that programs put before those of an encoder, with the '.'.
constexpr std::string_view kWrappers[] = {"teacher.",   "student.",    "module.",
                                          "_orig_mod.", "model.",      "backbone.",
                                          "encoder.",   "state_dict.", "model_state_dict."};

// Removes the wrappers at the beginning.
std::string_view WithoutWrappers(std::string_view prefix) {
  for (bool removed = true; removed;) {
    removed = false;
    for (const std::string_view wrapper : kWrappers) {
      if (!prefix.starts_with(wrapper)) continue;
      prefix.remove_prefix(wrapper.size());
      removed = true;
    }
  }
  return prefix;
}

// The texts before `mark` in names that end with it as whole parts of a name.
std::vector<std::string> PrefixesBefore(const TensorFile& file, std::string_view mark) {
  std::vector<std::string> prefixes;
  for (const auto& [name, view] : file.tensors) {
    if (!name.ends_with(mark)) continue;
    std::string prefix = name.substr(0, name.size() - mark.size());
    if (prefix.empty() || prefix.ends_with('.')) prefixes.push_back(std::move(prefix));
  }
  return prefixes;
}

bool IsKnownPrefix(const std::string& prefix, const DialectTraits& traits) {
  if (traits.kind != EncoderKind::kVisionTransformer) return prefix.empty();
  const std::string_view inner = WithoutWrappers(prefix);
  return std::find(traits.prefixes.begin(), traits.prefixes.end(), inner) != traits.prefixes.end();
}

// The prefix of the encoder whose file has `mark`. Of several encoders the one without a prefix, or
// else the only one of a teacher, whose weights DINOv2 publishes; others are refused.
std::optional<std::string> FindPrefix(const TensorFile& file, const DialectTraits& traits,
                                      std::string_view mark) {
  std::vector<std::string> known = PrefixesBefore(file, mark);
  std::erase_if(known, [&](const std::string& prefix) { return !IsKnownPrefix(prefix, traits); });
  if (known.empty()) return std::nullopt;
  if (known.size() == 1) return known[0];
  if (std::find(known.begin(), known.end(), "") != known.end()) return "";
  std::vector<std::string> teachers;
  std::string all;
  for (const std::string& prefix : known) {
    if (prefix.find("teacher.") != std::string::npos) teachers.push_back(prefix);
    all += (all.empty() ? "" : ", ") + Quote(prefix);
  }
  if (teachers.size() == 1) return teachers[0];
  throw InvalidInput("encoder", "ENCODER_UNKNOWN",
                     file.source + ": holds several encoders, behind the prefixes " + all +
                         "; save the tensors of one of them in a file of their own");
}

// Says which prefix stands before names of a known dialect, and names tensors behind it. Empty if
// there is none.
std::string DescribePrefix(const TensorFile& file) {
  constexpr size_t kShown = 3;
  for (const DialectTraits& traits : Dialects()) {
    if (traits.kind != EncoderKind::kVisionTransformer) continue;
    for (const char* mark : {traits.mark, traits.plain_mark}) {
      if (*mark == '\0') continue;
      const std::vector<std::string> prefixes = PrefixesBefore(file, mark);
      if (prefixes.empty()) continue;
      const std::string& prefix = prefixes[0];
      std::string shown;
      size_t count = 0;
      for (const auto& [name, view] : file.tensors) {
        if (!name.starts_with(prefix)) continue;
        if (count++ < kShown) shown += (count == 1 ? "" : ", ") + Quote(name.substr(prefix.size()));
      }
      return "the unknown prefix " + Quote(prefix) + " stands before " + std::to_string(count) +
             " tensors (" + shown + (count > kShown ? ", .." : "") + ") with " + traits.name +
             " names; save them without the prefix";
    }
  }
  return {};
}

[[noreturn]] void ThrowUnknown(const TensorFile& file) {
  const auto has = [&](const std::string& name) { return file.tensors.contains(name); };
  std::string what = DescribePrefix(file);
  if (what.empty() && (has("pos_embed") || has("embeddings.position_embeddings"))) {
    what = "this is a vision transformer without LayerScale, which no DINOv2 is";
  } else if (what.empty() && has("prototypes")) {
    what = "these are the trained weights of a Pro-AD, and its encoder is needed";
  } else if (what.empty()) {
    what = "a DINOv2 encoder is needed";
  }
  throw InvalidInput("encoder", "ENCODER_UNKNOWN",
                     file.source +
                         ": no encoder under known names ('blocks.0.ls1.gamma' of DINOv2 and timm, "
                         "'encoder.layer.0.layer_scale1.lambda1' of Hugging Face); " +
                         what);
}

}  // namespace

const char* NameOf(WeightDialect dialect) {
  for (const DialectTraits& traits : Dialects()) {
    if (traits.dialect == dialect) return traits.name;
  }
  return "unknown";
}

std::vector<std::string> WeightDialectNames() {
  std::vector<std::string> names;
  for (const DialectTraits& traits : Dialects()) names.push_back(traits.name);
  return names;
}

EncoderNames::EncoderNames(const DialectTraits& traits, std::string prefix)
    : traits_(&traits), prefix_(std::move(prefix)) {}

EncoderNames EncoderNames::Detect(const TensorFile& file) {
  for (const DialectTraits& traits : Dialects()) {
    if (const auto prefix = FindPrefix(file, traits, traits.mark)) return {traits, *prefix};
  }
  for (const DialectTraits& traits : Dialects()) {
    if (*traits.plain_mark == '\0') continue;
    if (const auto prefix = FindPrefix(file, traits, traits.plain_mark)) return {traits, *prefix};
  }
  ThrowUnknown(file);
}

WeightDialect EncoderNames::dialect() const { return traits_->dialect; }
EncoderKind EncoderNames::kind() const { return traits_->kind; }
std::string EncoderNames::width_tensor() const { return prefix_ + traits_->width_tensor; }
std::string EncoderNames::positions() const { return prefix_ + traits_->positions; }
std::string EncoderNames::registers() const {
  return *traits_->registers == '\0' ? "" : prefix_ + traits_->registers;
}
bool EncoderNames::has_class_position() const { return traits_->has_class_position; }
bool EncoderNames::has_batch_norms() const { return traits_->has_batch_norms; }

std::vector<WantedTensor> EncoderNames::Wanted(const EncoderConfig& config) const {
  if (traits_->wanted != nullptr) return traits_->wanted(config);
  const int64_t width = config.width;
  const int64_t grid = config.position_grid;
  const int64_t slots = grid * grid + (has_class_position() ? 1 : 0);
  std::vector<WantedTensor> wanted = {
      {"cls_token", {{prefix_ + traits_->cls_token}}, {1, 1, width}},
      {"pos_embed", {{positions()}}, {1, slots, width}},
      {"patch_embed.proj.weight",
       {{prefix_ + traits_->patch_weight}},
       {width, 3, config.patch, config.patch}},
      {"patch_embed.proj.bias", {{prefix_ + traits_->patch_bias}}, {width}},
  };
  if (config.registers > 0) {
    wanted.push_back({"register_tokens", {{registers()}}, {1, config.registers, width}});
  }
  for (int i = 0; i < config.blocks; ++i) {
    const std::string index = std::to_string(i) + ".";
    for (const BlockTensor& tensor : BlockTensors(width)) {
      WantedTensor entry = {"blocks." + index + tensor.official,
                            Parts(tensor, prefix_ + traits_->blocks + index, traits_->in_parts),
                            tensor.shape};
      entry.part_shape[0] /= static_cast<int64_t>(entry.parts.size());
      wanted.push_back(std::move(entry));
    }
  }
  return wanted;
}

bool EncoderNames::IsLegalExtra(const std::string& name, const EncoderConfig& config) const {
  if (traits_->wanted != nullptr) {
    return traits_->is_extra != nullptr && traits_->is_extra(name, config);
  }
  const auto is = [&](const std::string& prefix, const std::vector<const char*>& names) {
    return std::any_of(names.begin(), names.end(),
                       [&](const char* known) { return name == prefix + known; });
  };
  // Heads and further networks in the checkpoint of a training program.
  const bool wrapped = WithoutWrappers(prefix_).size() != prefix_.size();
  if (wrapped && !name.starts_with(prefix_)) return true;
  return is(prefix_, traits_->extras) || is("", traits_->outer_extras) ||
         IsOfLaterBlock(name, prefix_ + traits_->blocks, traits_->in_parts, config);
}

}  // namespace proad::model
