#include "model/network/teacher.h"

#include <ATen/ATen.h>

#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "model/files/error.h"
#include "model/files/tensor_file.h"
#include "model/files/text.h"
#include "model/network/bicubic.h"
#include "model/network/encoder.h"
#include "model/network/pro_ad.h"
#include "model/network/squeezenet.h"
#include "model/network/squeezenet_features.h"
#include "model/network/vision_transformer.h"
#include "model/network/weight_import.h"
#include "model/spec/preset.h"

namespace proad::model {
namespace {

constexpr char kSqueezeNetName[] = "squeezenet1_1";
constexpr char kSqueezeNetMark[] = "fire9.expand3x3.weight";  // a tensor that no other kind has

// Texture and its parts for the first half of the groups, what a place is part of for the second.
class SqueezeNetTeacher : public Teacher {
 public:
  SqueezeNetTeacher(SqueezeNet network, int groups, int patch)
      : network_(std::move(network)), groups_(groups), patch_(patch) {}

  std::string name() const override { return kSqueezeNetName; }

  std::vector<TeacherFeatures> Features(const torch::Tensor& images, int) const override {
    const SqueezeNetFeatures of = FeaturesOf(network_, images, patch_);
    const TeacherFeatures low = {{of.texture, of.fine, of.parts}, {1, 1, 1}, 1};
    const TeacherFeatures high = {{of.coarse, of.object}, {1, 1}, 1};
    std::vector<TeacherFeatures> groups;
    for (int g = 0; g < groups_; ++g) groups.push_back(2 * g < groups_ - 1 ? low : high);
    return groups;
  }

 private:
  const SqueezeNet network_;
  const int groups_;
  const int patch_;  // of the student
};

class EncoderTeacher : public Teacher {
 public:
  EncoderTeacher(VisionTransformer network, int groups, int patch)
      : network_(std::move(network)), groups_(groups), patch_(patch) {}

  std::string name() const override {
    return "vision transformer, " + std::to_string(network_->config().width) + " wide";
  }

  std::vector<TeacherFeatures> Features(const torch::Tensor& images, int grid) const override {
    const EncoderConfig& config = network_->config();
    const int64_t side = int64_t{grid} * config.patch;
    const torch::Tensor seen = config.patch == patch_ ? images : ResizeBicubic(images, side, side);
    const torch::Tensor normalised = Standardize(seen, {});  // with ImageNet's mean and deviation
    std::vector<TeacherFeatures> groups;
    for (const torch::Tensor& mean : GroupMeans(VisionTransformer(network_)(normalised), groups_)) {
      const torch::Tensor patches = mean.narrow(1, config.prefix_tokens(), grid * grid);
      groups.push_back({{patches.to(at::kFloat)}, {1}});
    }
    return groups;
  }

 private:
  const VisionTransformer network_;
  const int groups_;
  const int patch_;  // of the student
};

SqueezeNet LoadSqueezeNet(const TensorFile& file) {
  SqueezeNet network;
  const torch::NoGradGuard no_grad;
  for (auto& parameter : network->named_parameters()) {
    const auto found = file.tensors.find(parameter.key());
    torch::Tensor& target = parameter.value();
    if (found == file.tensors.end() || found->second.shape != target.sizes().vec() ||
        (found->second.dtype != DType::kF32 && found->second.dtype != DType::kF16)) {
      throw CorruptFile(file.source, "holds no tensor " + Quote(parameter.key()) +
                                         " of SqueezeNet 1.1 in F32 or F16");
    }
    torch::Tensor stored =
        at::empty(target.sizes(), found->second.dtype == DType::kF16 ? at::kHalf : at::kFloat);
    std::memcpy(stored.data_ptr(), found->second.data.data(), found->second.data.size());
    target.copy_(stored);
  }
  return network;
}

// The presets differ in the width of their encoders.
VisionTransformer LoadVisionTransformer(const TensorFile& file) {
  std::optional<InvalidInput> mismatch;
  for (const std::string& preset : PresetNames()) {
    const EncoderConfig config = PresetConfig(preset).encoder;
    if (config.kind != EncoderKind::kVisionTransformer) continue;
    try {
      const ImportedEncoder imported = ImportEncoder(file, config);
      VisionTransformer network(imported.config);
      LoadEncoder(*network, imported);
      return network;
    } catch (const PresetMismatch& error) {
      mismatch = error;
    } catch (const InvalidInput& error) {
      throw InvalidInput("teacher", "TEACHER_UNKNOWN", error.what());
    }
  }
  throw InvalidInput("teacher", "TEACHER_UNKNOWN", mismatch->what());
}

}  // namespace

std::unique_ptr<Teacher> LoadTeacher(const std::filesystem::path& file, int groups, int patch,
                                     const torch::Device& device) {
  const TensorFile stored = ReadTensorFile(file);
  if (stored.tensors.contains(kSqueezeNetMark)) {
    SqueezeNet network = LoadSqueezeNet(stored);
    network->to(device);
    return std::make_unique<SqueezeNetTeacher>(std::move(network), groups, patch);
  }
  VisionTransformer network = LoadVisionTransformer(stored);
  network->to(device);
  return std::make_unique<EncoderTeacher>(std::move(network), groups, patch);
}

}  // namespace proad::model
