#include "model/trainer.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/autocast_mode.h>

#include <cmath>
#include <cstring>
#include <map>
#include <sstream>
#include <utility>

#include "model/error.h"
#include "model/loss.h"
#include "model/safetensors.h"
#include "model/shuffle.h"

namespace proad::model {
namespace {

constexpr char kWeights[] = "model.";
constexpr char kOptimizer[] = "optimizer.";

void CheckPrecision(Precision precision, const torch::Device& device) {
  if (precision != Precision::kTf32 || device.is_cuda()) return;
  throw InvalidInput("overrides.precision", "PRECISION_UNSUPPORTED",
                     "overrides.precision tf32 needs a CUDA device, and the job runs on " +
                         device.str() + "; use fp32");
}

Schedule::Options ScheduleOf(const Recipe& recipe, const Length& length) {
  return {.learning_rate = recipe.learning_rate,
          .final_ratio = recipe.final_ratio,
          .warmup_steps = length.warmup_steps,
          .total_steps = length.steps};
}

StableAdamW::Options OptimizerOf(const Recipe& recipe) {
  StableAdamW::Options options;
  options.weight_decay = recipe.weight_decay;
  return options;
}

// Matrix products in bfloat16 while it lives, where the recipe says so.
class MixedPrecision {
 public:
  MixedPrecision(Precision precision, const torch::Device& device)
      : device_(device.type()), on_(precision == Precision::kBf16) {
    if (!on_) return;
    at::autocast::set_autocast_dtype(device_, at::kBFloat16);
    at::autocast::set_autocast_enabled(device_, true);
  }
  ~MixedPrecision() {
    if (!on_) return;
    at::autocast::set_autocast_enabled(device_, false);
    at::autocast::clear_cache();
  }
  MixedPrecision(const MixedPrecision&) = delete;
  MixedPrecision& operator=(const MixedPrecision&) = delete;

 private:
  const c10::DeviceType device_;
  const bool on_;
};

std::string NotFinite(int64_t step, double learning_rate, const std::string& what) {
  std::ostringstream text;
  text << "the " << what << " is not finite in step " << step << ", at learning rate "
       << learning_rate << "; a smaller learning rate, or starting anew, is needed";
  return text.str();
}

TensorView ViewOf(const torch::Tensor& tensor) {
  return {tensor.scalar_type() == at::kLong ? DType::kI64 : DType::kF32,
          tensor.sizes().vec(),
          {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}};
}

torch::Tensor CopyOf(const TensorView& view) {
  torch::Tensor tensor = at::empty(view.shape, view.dtype == DType::kI64 ? at::kLong : at::kFloat);
  if (view.data.size() != tensor.nbytes()) return {};
  std::memcpy(tensor.data_ptr(), view.data.data(), view.data.size());
  return tensor;
}

}  // namespace

NonFiniteLoss::NonFiniteLoss(int64_t step, double learning_rate, const std::string& what)
    : std::runtime_error(NotFinite(step, learning_rate, what)),
      step_(step),
      learning_rate_(learning_rate) {}

Trainer::Trainer(const ProAd& model, const Recipe& recipe, FeatureCache& features)
    : model_(model),
      recipe_(recipe),
      features_(features),
      length_(LengthOf(recipe, features.size())),
      schedule_(ScheduleOf(recipe, length_)),
      optimizer_(model_->TrainableParameters(), OptimizerOf(recipe)) {
  CheckPrecision(recipe.precision, model_->prototypes.device());
  at::globalContext().setAllowTF32CuBLAS(recipe.precision == Precision::kTf32);
  model_->set_dropout(recipe.dropout);
}

Trainer::StepFigures Trainer::Step() {
  const int64_t number = step();
  StepFigures figures;
  figures.learning_rate = schedule_.LearningRate(number);
  at::manual_seed(DeriveSeed(recipe_.seed, static_cast<uint64_t>(number)));

  model_->train();
  optimizer_.ZeroGradients();
  const torch::Tensor loss = Loss(NextBatch());
  figures.loss = loss.item<double>();
  if (!std::isfinite(figures.loss)) {
    throw NonFiniteLoss(number + 1, figures.learning_rate, "loss");
  }
  loss.backward();
  if (!std::isfinite(optimizer_.ClipGradients(recipe_.gradient_clip))) {
    throw NonFiniteLoss(number + 1, figures.learning_rate, "norm of the gradients");
  }
  optimizer_.Step(figures.learning_rate);
  return figures;
}

std::vector<int64_t> Trainer::NextBatch() {
  const int64_t epoch = step() / length_.steps_per_epoch;
  if (epoch != order_epoch_) {
    order_ = Shuffled(features_.size(), recipe_.seed, static_cast<uint64_t>(epoch));
    order_epoch_ = epoch;
  }
  const auto first = order_.begin() + step() % length_.steps_per_epoch * recipe_.batch_size;
  return {first, first + recipe_.batch_size};
}

torch::Tensor Trainer::Loss(const std::vector<int64_t>& numbers) {
  const std::vector<torch::Tensor> groups = features_.Batch(numbers);
  const MixedPrecision mixed(recipe_.precision, groups[0].device());
  return ReconstructionLoss(model_->Reconstruct(groups), recipe_.tau);
}

void Trainer::Save(const std::filesystem::path& file) const {
  std::map<std::string, torch::Tensor> tensors;
  for (const auto& parameter : model_->TrainableParameters()) {
    tensors[kWeights + parameter.key()] = parameter.value().detach();
  }
  for (const auto& [name, tensor] : optimizer_.State()) tensors[kOptimizer + name] = tensor;
  std::map<std::string, TensorView> views;
  for (auto& [name, tensor] : tensors) {
    tensor = tensor.to(at::kCPU).contiguous();
    views[name] = ViewOf(tensor);
  }
  WriteSafetensors(file, views);
}

void Trainer::Load(const std::filesystem::path& file) {
  const TensorFile stored = ReadSafetensors(file);
  std::map<std::string, torch::Tensor> state;
  std::map<std::string, torch::Tensor> weights;
  for (const auto& [name, view] : stored.tensors) {
    const bool of_optimizer = name.starts_with(kOptimizer);
    const std::string key = name.substr((of_optimizer ? sizeof kOptimizer : sizeof kWeights) - 1);
    (of_optimizer ? state : weights)[key] = CopyOf(view);
  }
  auto parameters = model_->TrainableParameters();
  for (const auto& parameter : parameters) {
    const auto found = weights.find(parameter.key());
    if (found == weights.end() || !found->second.defined() ||
        found->second.sizes() != parameter.value().sizes()) {
      throw CorruptFile(file, "holds no tensor model." + parameter.key() + " of this network");
    }
  }
  const torch::Device device = model_->prototypes.device();
  for (auto& [name, tensor] : state) {
    if (tensor.defined() && name != "steps") tensor = tensor.to(device);
  }
  try {
    optimizer_.Load(state);
  } catch (const InvalidInput& error) {
    throw CorruptFile(file, error.what());
  }
  const torch::NoGradGuard no_grad;
  for (auto& parameter : parameters) parameter.value().copy_(weights[parameter.key()]);
  order_epoch_ = -1;
}

}  // namespace proad::model
