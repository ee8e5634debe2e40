#include "model/training/distiller.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <string>
#include <utility>

#include "model/files/error.h"
#include "model/network/pro_ad.h"
#include "model/spec/shuffle.h"
#include "model/training/mixed_precision.h"

namespace proad::model {
namespace {

constexpr uint64_t kSpaceBatches = 8;  // from which Begin computes the target spaces
// Streams of random numbers. Those of the steps begin at 0.
constexpr uint64_t kSpaceStream = uint64_t{1} << 62;
constexpr uint64_t kEvaluationStream = uint64_t{3} << 62;
constexpr uint64_t kShiftSeed = 0x9e3779b97f4a7c15;
constexpr char kSpace[] = "space.";

torch::OrderedDict<std::string, torch::Tensor> ParametersOf(const VisionTransformer& student) {
  return student->named_parameters();
}

// Throws unless the options make sense for `student`.
void Check(const DistilOptions& options, const EncoderConfig& student, int64_t photographs) {
  const auto check = [](bool holds, const std::string& field, const std::string& right) {
    if (!holds) throw InvalidInput(field, "OUT_OF_RANGE", field + " must be " + right);
  };
  check(photographs > 0, "photographs", "at least one");
  check(options.steps >= 1, "steps", "at least 1");
  check(options.batch_patches >= 1, "batch_patches", "at least 1");
  check(!options.sides.empty(), "sides", "at least one");
  for (const int side : options.sides) {
    check(side >= student.patch && side % student.patch == 0, "sides",
          "multiples of the patch, " + std::to_string(student.patch) + " pixels");
  }
  check(options.groups >= 1 && student.taps.size() % static_cast<size_t>(options.groups) == 0,
        "groups", "a divisor of the number of taps, " + std::to_string(student.taps.size()));
}

// Patterns of a patch: for each of three colour axes (luminance, red minus blue, green minus both)
// the lowest frequencies of a two-dimensional cosine transform. -> [width, 3, p, p]
torch::Tensor CosinePatterns(int width, int patch) {
  const double axes[3][3] = {{1, 1, 1}, {1, 0, -1}, {-0.5, 1, -0.5}};
  // Photographs have more detail in luminance than in colour.
  const int colour = width * 5 / 32;
  const int counts[3] = {width - 2 * colour, colour, colour};
  std::vector<std::pair<int, int>> frequencies;
  for (int u = 0; u < patch; ++u) {
    for (int v = 0; v < patch; ++v) frequencies.emplace_back(u, v);
  }
  const auto square = [](const std::pair<int, int>& f) {
    return f.first * f.first + f.second * f.second;
  };
  std::stable_sort(frequencies.begin(), frequencies.end(),
                   [&](const auto& a, const auto& b) { return square(a) < square(b); });
  torch::Tensor patterns = at::zeros({width, 3, patch, patch}, at::kDouble);
  const torch::Tensor position =
      (at::arange(patch, at::kDouble) + 0.5) * (std::numbers::pi / patch);
  const auto wave = [&](int frequency) {
    return (position * frequency).cos() * std::sqrt((frequency == 0 ? 1.0 : 2.0) / patch);
  };
  int64_t row = 0;
  for (int axis = 0; axis < 3; ++axis) {
    torch::Tensor mix = at::empty({3, 1, 1}, at::kDouble);
    for (int c = 0; c < 3; ++c) mix[c] = axes[axis][c];
    mix = mix / mix.norm();
    for (int i = 0; i < counts[axis]; ++i, ++row) {
      const auto [u, v] = frequencies[static_cast<size_t>(i) % frequencies.size()];
      // High frequencies are weak in photographs, so they get a larger gain.
      const double gain = std::min(1.0, 0.25 + 0.25 * std::sqrt(u * u + v * v));
      patterns[row] = mix * at::outer(wave(u), wave(v)) * gain;
    }
  }
  return patterns;
}

}  // namespace

Distiller::Distiller(const VisionTransformer& student, const Teacher& teacher,
                     PhotographReader photographs, int64_t count, const DistilOptions& options)
    : student_(student),
      teacher_(teacher),
      photographs_(std::move(photographs)),
      count_(count),
      options_((Check(options, student->config(), count), options)),
      schedule_({.learning_rate = options.learning_rate,
                 .final_ratio = options.final_ratio,
                 .warmup_steps = std::min(options.warmup_steps, options.steps / 2),
                 .total_steps = options.steps}),
      optimizer_(ParametersOf(student),
                 {.weight_decay = options.weight_decay, .beta2 = 0.99, .amsgrad = false}) {
  CheckPrecision(options.precision, student->cls_token.device(), "precision");
}

int Distiller::GridOf(const torch::Tensor& views) const {
  return static_cast<int>(views.size(2)) / student_->config().patch;
}

torch::Tensor Distiller::Views(uint64_t stream) const {
  const uint64_t batch_seed = DeriveSeed(options_.seed, stream);
  ViewOptions view = options_.view;
  view.side = options_.sides[batch_seed % options_.sides.size()];
  const int64_t grid = view.side / student_->config().patch;
  const int64_t count = std::max<int64_t>(1, options_.batch_patches / (grid * grid));
  torch::Tensor pixels = at::empty({count, view.side, view.side, 3}, at::kByte);
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint64_t seed = DeriveSeed(batch_seed, static_cast<uint64_t>(i));
      const Image image = RandomView(photographs_, count_, view, seed);
      std::memcpy(pixels[i].data_ptr(), image.pixels.data(), image.pixels.size());
    }
  });
  const torch::Tensor on_device = pixels.to(student_->cls_token.device());
  return on_device.permute({0, 3, 1, 2}).to(at::kFloat).div_(255);
}

void Distiller::Begin(bool fresh) {
  const torch::NoGradGuard no_grad;
  const MixedPrecision mixed(options_.precision, student_->cls_token.device());
  std::vector<TeacherFeatures> all;
  for (uint64_t i = 0; i < kSpaceBatches; ++i) {
    const torch::Tensor views = Views(kSpaceStream + i);
    std::vector<TeacherFeatures> batch = teacher_.Features(views, GridOf(views));
    for (TeacherFeatures& group : batch) {
      for (torch::Tensor& kind : group.kinds) kind = kind.flatten(0, 1).unsqueeze(0);
    }
    if (all.empty()) {
      all = batch;
      continue;
    }
    for (size_t g = 0; g < batch.size(); ++g) {
      for (size_t k = 0; k < batch[g].kinds.size(); ++k) {
        all[g].kinds[k] = at::cat({all[g].kinds[k], batch[g].kinds[k]}, 1);
      }
    }
  }
  for (const TeacherFeatures& group : all) spaces_.emplace_back(group, student_->config().width);
  if (fresh) InitialiseStudent();
}

void Distiller::InitialiseStudent() {
  constexpr double kMatrixStd = 0.03;
  constexpr double kLayerScale = 0.2;
  constexpr double kPatchGain = 0.3;
  const EncoderConfig& config = student_->config();
  for (auto& item : student_->named_parameters()) {
    torch::Tensor& value = item.value();
    if (item.key().ends_with("gamma")) {
      value.fill_(kLayerScale);
    } else if (item.key().ends_with("bias")) {
      value.zero_();
    } else if (value.dim() == 2) {
      value.normal_(0, kMatrixStd);
    }
  }
  student_->patch_embed->proj->weight.copy_(CosinePatterns(config.width, config.patch) *
                                            kPatchGain);

  // The last dimension is a constant in all blocks; it changes to the next anchor between groups.
  const int64_t last = config.width - 1;
  const auto zero = [last](const torch::Tensor& tensor) { tensor.select(-1, last).zero_(); };
  double anchor = spaces_[0].anchor();
  student_->patch_embed->proj->weight[last].zero_();
  student_->patch_embed->proj->bias[last] = anchor;
  zero(student_->pos_embed);
  for (torch::Tensor prefix : {student_->cls_token, student_->register_tokens}) {
    prefix.select(-1, last).fill_(anchor);
  }
  const size_t taps_of_a_group = config.taps.size() / spaces_.size();
  for (int i = 0; i < config.blocks; ++i) {
    auto& block = student_->blocks->at<EncoderBlockImpl>(static_cast<size_t>(i));
    zero(block.ls1->gamma);
    zero(block.ls2->gamma);
    for (size_t g = 1; g < spaces_.size(); ++g) {
      if (config.taps[g * taps_of_a_group] != i) continue;
      block.ls2->gamma[last] = kLayerScale;
      block.mlp->fc2->weight[last].zero_();
      block.mlp->fc2->bias[last] = (spaces_[g].anchor() - anchor) / kLayerScale;
      anchor = spaces_[g].anchor();
    }
  }
}

std::vector<torch::Tensor> Distiller::Targets(const torch::Tensor& views) const {
  const torch::NoGradGuard no_grad;
  const std::vector<TeacherFeatures> groups = teacher_.Features(views, GridOf(views));
  std::vector<torch::Tensor> targets;
  for (size_t g = 0; g < groups.size(); ++g) targets.push_back(spaces_[g](groups[g]));
  return targets;
}

std::vector<torch::Tensor> Distiller::Predict(const torch::Tensor& views, uint64_t stream) {
  // Targets do not depend on the position of a patch. A random circular shift of each batch makes
  // the positions carry only the relation of patches to each other.
  const int64_t grid = GridOf(views);
  const int64_t patch = student_->config().patch;
  const uint64_t seed = DeriveSeed(options_.seed ^ kShiftSeed, stream);
  const auto down = static_cast<int64_t>(seed % static_cast<uint64_t>(grid));
  const auto right = static_cast<int64_t>((seed >> 32) % static_cast<uint64_t>(grid));
  const torch::Tensor shifted = views.roll({down * patch, right * patch}, {2, 3});
  const torch::Tensor images = Standardize(shifted, {});  // as in serving
  std::vector<torch::Tensor> groups;
  for (const torch::Tensor& mean : GroupMeans(student_(images), options_.groups)) {
    const int64_t prefix = student_->config().prefix_tokens();
    const torch::Tensor map =
        mean.narrow(1, prefix, grid * grid).to(at::kFloat).unflatten(1, {grid, grid});
    groups.push_back(map.roll({-down, -right}, {1, 2}).flatten(1, 2));
  }
  return groups;
}

Distiller::StepFigures Distiller::Step() {
  const int64_t number = step();
  StepFigures figures;
  figures.learning_rate = schedule_.LearningRate(number);
  const std::vector<torch::Tensor> missed = Unexplained(static_cast<uint64_t>(number));
  for (const torch::Tensor& share : missed) figures.unexplained.push_back(share.item<double>());
  figures.loss =
      Descend(at::stack(missed).mean(), options_.gradient_clip, figures.learning_rate, optimizer_);
  return figures;
}

std::vector<double> Distiller::Evaluate(int64_t batches) {
  const torch::NoGradGuard no_grad;
  std::vector<double> mean(spaces_.size());
  for (int64_t i = 0; i < batches; ++i) {
    const std::vector<torch::Tensor> missed =
        Unexplained(kEvaluationStream + static_cast<uint64_t>(i));
    for (size_t g = 0; g < mean.size(); ++g) {
      mean[g] += missed[g].item<double>() / static_cast<double>(batches);
    }
  }
  return mean;
}

std::vector<torch::Tensor> Distiller::Unexplained(uint64_t stream) {
  TORCH_CHECK(!spaces_.empty(), "Begin or Load must come before the first step");
  const MixedPrecision mixed(options_.precision, student_->cls_token.device());
  const torch::Tensor views = Views(stream);
  const std::vector<torch::Tensor> targets = Targets(views);
  const std::vector<torch::Tensor> predictions = Predict(views, stream);
  std::vector<torch::Tensor> missed;
  for (size_t g = 0; g < targets.size(); ++g) {
    // Without the last dimension, the anchor.
    const torch::Tensor varying = targets[g].narrow(2, 0, targets[g].size(2) - 1);
    missed.push_back((predictions[g] - targets[g]).square().sum() / varying.square().sum());
  }
  return missed;
}

void Distiller::Save(const std::filesystem::path& file) const {
  NamedTensors spaces;
  for (size_t g = 0; g < spaces_.size(); ++g) {
    spaces[kSpace + std::to_string(g)] = spaces_[g].Stored();
  }
  WriteState(file, ParametersOf(student_), optimizer_, spaces);
}

void Distiller::Load(const std::filesystem::path& file) {
  const NamedTensors spaces = ReadState(file, ParametersOf(student_), optimizer_);
  spaces_.clear();
  for (size_t g = 0; g < spaces.size(); ++g) {
    const auto found = spaces.find(kSpace + std::to_string(g));
    if (found == spaces.end())
      throw CorruptFile(file, "has no directions of group " + std::to_string(g));
    spaces_.emplace_back(found->second.to(student_->cls_token.device()));
  }
}

}  // namespace proad::model
