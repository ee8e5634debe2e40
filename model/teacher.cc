#include "model/teacher.h"

#include <ATen/ATen.h>

#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "model/encoder.h"
#include "model/error.h"
#include "model/pro_ad.h"
#include "model/squeezenet.h"
#include "model/strict_json.h"
#include "model/tensor_file.h"
#include "model/weight_import.h"

namespace proad::model {
namespace {

constexpr char kSqueezeNetName[] = "squeezenet1_1";
constexpr char kSqueezeNetMark[] = "fire9.expand3x3.weight";  // a tensor that no other kind has

// How much of each of `positions` of a map, `stride` pixels apart, lies in each of `cells` equal
// parts of a side of `side` pixels; rows add up to one. The network pads nowhere, so position j
// sees the pixels around stride * (j + 1) - 1/2. -> [cells, positions]
torch::Tensor Overlap(int64_t cells, int64_t positions, double stride, double side) {
  const torch::Tensor centres = at::arange(1, positions + 1, at::kDouble) * stride - 0.5;
  torch::Tensor from = centres - stride / 2;
  torch::Tensor to = centres + stride / 2;
  from[0] = 0;  // what no position is around belongs to the outermost
  to[positions - 1] = side;
  const torch::Tensor edges =
      at::arange(cells + 1, at::kDouble) * (side / static_cast<double>(cells));
  const torch::Tensor overlap =
      (at::minimum(to.unsqueeze(0), edges.narrow(0, 1, cells).unsqueeze(1)) -
       at::maximum(from.unsqueeze(0), edges.narrow(0, 0, cells).unsqueeze(1)))
          .clamp_min(0);
  return (overlap / overlap.sum(1, true)).to(at::kFloat);
}

// The mean of a map's positions inside each patch. map: [B, D, h, w] -> [B, D, grid, grid]
torch::Tensor Pool(const torch::Tensor& map, int grid, double stride, double side) {
  const auto overlap = [&](int64_t positions) {
    return Overlap(grid, positions, stride, side).to(map.options());
  };
  return at::matmul(at::matmul(overlap(map.size(2)), map), overlap(map.size(3)).t()).to(at::kFloat);
}

// What is left of each patch without the mean of the 9 x 9 around it.
torch::Tensor LocalContrast(const torch::Tensor& map) {
  return map - at::avg_pool2d(map, 9, 1, 4, /*ceil_mode=*/false, /*count_include_pad=*/false);
}

// Of length one in each patch.
torch::Tensor Unit(const torch::Tensor& map) {
  return map / map.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
}

torch::Tensor Resized(const torch::Tensor& images, int64_t side) {
  const torch::Tensor resized = side < images.size(2)
                                    ? at::_upsample_bicubic2d_aa(images, {side, side}, false)
                                    : at::upsample_bicubic2d(images, {side, side}, false);
  return resized.clamp(0, 1);
}

torch::Tensor AsPatches(const torch::Tensor& map) { return map.flatten(2).transpose(1, 2); }

// Fine texture and what is unlike its surroundings for the first half of the groups, what a place
// is part of for the second: chosen by how well nearest neighbours among them tell defects
// (model/README.md). The square root tames the few strong responses of rectified units.
class SqueezeNetTeacher : public Teacher {
 public:
  SqueezeNetTeacher(SqueezeNet network, int groups, int patch)
      : network_(std::move(network)), groups_(groups), patch_(patch) {}

  std::string name() const override { return kSqueezeNetName; }

  std::vector<TeacherFeatures> Features(const torch::Tensor& images, int grid) const override {
    const int64_t seen = images.size(2);
    // Of a picture resized so, the coarsest maps have one position a patch.
    const int64_t side = seen / patch_ * kCoarsestStride;
    const auto maps = [&](int64_t of_side, int last) {
      return SqueezeNet(network_)(Resized(images, of_side), last);
    };
    const auto roots = [&](const torch::Tensor& map, int stride, int64_t of_side) {
      return Pool(map, grid, stride, static_cast<double>(of_side)).clamp_min(0).sqrt();
    };
    const std::vector<torch::Tensor> of_patches = maps(side, 9);
    const torch::Tensor texture = Unit(roots(of_patches[2], 4, side));
    const torch::Tensor fine = Unit(roots(maps(2 * seen, 3)[2], 4, 2 * seen));
    const torch::Tensor contrast = LocalContrast(Unit(roots(of_patches[4], 8, side)));
    const torch::Tensor coarse = roots(maps(seen / 2, 5)[4], 8, seen / 2);
    const torch::Tensor object = roots(of_patches[8], kCoarsestStride, side);

    const TeacherFeatures low = {
        {AsPatches(texture), AsPatches(fine), AsPatches(contrast)}, {1, 1, 0.5}, 1};
    const TeacherFeatures high = {{AsPatches(coarse), AsPatches(object)}, {1, 1}, 1};
    std::vector<TeacherFeatures> groups;
    for (int g = 0; g < groups_; ++g) groups.push_back(2 * g < groups_ - 1 ? low : high);
    return groups;
  }

 private:
  static constexpr int kCoarsestStride = 16;

  const SqueezeNet network_;
  const int groups_;
  const int patch_;  // of the student
};

class EncoderTeacher : public Teacher {
 public:
  EncoderTeacher(Encoder network, int groups, int patch)
      : network_(std::move(network)), groups_(groups), patch_(patch) {}

  std::string name() const override {
    return "vision transformer, " + std::to_string(network_->config().width) + " wide";
  }

  std::vector<TeacherFeatures> Features(const torch::Tensor& images, int grid) const override {
    const EncoderConfig& config = network_->config();
    const torch::Tensor seen =
        config.patch == patch_ ? images : Resized(images, grid * config.patch);
    const torch::Tensor normalised = Standardize(seen, {});  // with ImageNet's mean and deviation
    std::vector<TeacherFeatures> groups;
    for (const torch::Tensor& mean : GroupMeans(Encoder(network_)(normalised), groups_)) {
      const torch::Tensor patches = mean.narrow(1, 1 + config.registers, grid * grid);
      groups.push_back({{patches.to(at::kFloat)}, {1}});
    }
    return groups;
  }

 private:
  const Encoder network_;
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
Encoder LoadVisionTransformer(const TensorFile& file) {
  std::optional<InvalidInput> mismatch;
  for (const std::string& preset : PresetNames()) {
    try {
      const ImportedEncoder imported = ImportEncoder(file, PresetConfig(preset).encoder);
      Encoder network(imported.config);
      LoadEncoder(network, imported);
      return network;
    } catch (const InvalidInput& error) {
      if (error.reason() != "PRESET_MISMATCH") {
        throw InvalidInput("teacher", "TEACHER_UNKNOWN", error.what());
      }
      mismatch = error;
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
  Encoder network = LoadVisionTransformer(stored);
  network->to(device);
  return std::make_unique<EncoderTeacher>(std::move(network), groups, patch);
}

}  // namespace proad::model
