#include "model/training/trainer.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include <string>

#include "model/files/error.h"
#include "model/spec/shuffle.h"
#include "model/training/loss.h"
#include "model/training/mixed_precision.h"

namespace proad::model {
namespace {

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

}  // namespace

const ProcessGroup& Trainer::Alone() {
  static const ProcessGroup alone;
  return alone;
}

Trainer::Trainer(const ProAd& model, const Recipe& recipe, FeatureCache& features,
                 const ProcessGroup& processes)
    : model_(model),
      recipe_(recipe),
      features_(features),
      processes_(processes),
      length_(LengthOf(recipe, features.size())),
      schedule_(ScheduleOf(recipe, length_)),
      optimizer_(model_->TrainableParameters(), OptimizerOf(recipe)) {
  CheckPrecision(recipe.precision, model_->prototypes.device(), "overrides.precision");
  at::globalContext().setAllowTF32CuBLAS(recipe.precision == Precision::kTf32);
  if (recipe.batch_size % processes.size() != 0) {
    throw InvalidInput("world_size", "BATCH_NOT_DIVISIBLE",
                       "a batch of " + std::to_string(recipe.batch_size) +
                           " images cannot be divided equally among " +
                           std::to_string(processes.size()) + " processes");
  }
  model_->set_dropout(recipe.dropout, {.number = processes.rank(), .of = processes.size()});
}

Trainer::StepFigures Trainer::Step() {
  const int64_t number = step();
  StepFigures figures;
  figures.learning_rate = schedule_.LearningRate(number);
  at::manual_seed(DeriveSeed(recipe_.seed, static_cast<uint64_t>(number)));

  model_->train();
  figures.loss = Descend(Loss(NextShare()), recipe_.gradient_clip, figures.learning_rate,
                         optimizer_, processes_);
  return figures;
}

void Trainer::CopyFromFirst() {
  if (processes_.size() == 1) return;
  std::vector<torch::Tensor> tensors;
  for (const auto& parameter : model_->TrainableParameters()) tensors.push_back(parameter.value());
  const auto state = optimizer_.State();
  for (const auto& [name, tensor] : state) tensors.push_back(tensor);
  processes_.Broadcast(tensors);
  optimizer_.Load(state);
  order_epoch_ = -1;
}

std::vector<int64_t> Trainer::NextShare() {
  const int64_t epoch = step() / length_.steps_per_epoch;
  if (epoch != order_epoch_) {
    order_ = Shuffled(features_.size(), recipe_.seed, static_cast<uint64_t>(epoch));
    order_epoch_ = epoch;
  }
  const int64_t share = recipe_.batch_size / processes_.size();
  const auto first = order_.begin() + step() % length_.steps_per_epoch * recipe_.batch_size +
                     share * processes_.rank();
  return {first, first + share};
}

torch::Tensor Trainer::Loss(const std::vector<int64_t>& numbers) {
  const std::vector<torch::Tensor> groups = features_.Batch(numbers);
  const MixedPrecision mixed(recipe_.precision, groups[0].device());
  return ReconstructionLoss(model_->Reconstruct(groups), recipe_.tau, processes_);
}

void Trainer::Save(const std::filesystem::path& file) const {
  WriteState(file, model_->TrainableParameters(), optimizer_);
}

void Trainer::Load(const std::filesystem::path& file) {
  ReadState(file, model_->TrainableParameters(), optimizer_);
  order_epoch_ = -1;
}

}  // namespace proad::model
