#include "model/trainer.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include "model/loss.h"
#include "model/mixed_precision.h"
#include "model/shuffle.h"

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

Trainer::Trainer(const ProAd& model, const Recipe& recipe, FeatureCache& features)
    : model_(model),
      recipe_(recipe),
      features_(features),
      length_(LengthOf(recipe, features.size())),
      schedule_(ScheduleOf(recipe, length_)),
      optimizer_(model_->TrainableParameters(), OptimizerOf(recipe)) {
  CheckPrecision(recipe.precision, model_->prototypes.device(), "overrides.precision");
  at::globalContext().setAllowTF32CuBLAS(recipe.precision == Precision::kTf32);
  model_->set_dropout(recipe.dropout);
}

Trainer::StepFigures Trainer::Step() {
  const int64_t number = step();
  StepFigures figures;
  figures.learning_rate = schedule_.LearningRate(number);
  at::manual_seed(DeriveSeed(recipe_.seed, static_cast<uint64_t>(number)));

  model_->train();
  figures.loss =
      Descend(Loss(NextBatch()), recipe_.gradient_clip, figures.learning_rate, optimizer_);
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
  WriteState(file, model_->TrainableParameters(), optimizer_);
}

void Trainer::Load(const std::filesystem::path& file) {
  ReadState(file, model_->TrainableParameters(), optimizer_);
  order_epoch_ = -1;
}

}  // namespace proad::model
