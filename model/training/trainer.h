// Makes the loss smaller, one batch at a time (sections 3.5 and 4.1).
//
// Every random choice is a function of the recipe's seed and of the step: a training that is killed
// and goes on from a saved state ends in the same weights, bit for bit on a CPU with as many
// threads. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/network/pro_ad.h"
#include "model/spec/non_finite_loss.h"
#include "model/spec/recipe.h"
#include "model/training/feature_cache.h"
#include "model/training/optimizer.h"
#include "model/training/process_group.h"
#include "model/training/training_state.h"

namespace proad::model {

class Trainer : public Resumable {
 public:
  // Changes the trainable parameters of `model`, and shares `features` and `processes`, which
  // outlive it; all pictures in it are trained on. Of several processes, which must have the same
  // model, recipe and features, each trains on its share of every batch, and all make the same
  // steps. Throws InvalidInput where the recipe does not suit the pictures or the number of
  // processes, or (field "overrides.precision", PRECISION_UNSUPPORTED) the device.
  Trainer(const ProAd& model, const Recipe& recipe, FeatureCache& features,
          const ProcessGroup& processes = Alone());

  const Length& length() const { return length_; }
  int64_t step() const { return optimizer_.steps(); }  // done

  struct StepFigures {
    double loss = 0;  // before the step
    double learning_rate = 0;
  };

  // Trains on the next batch. Throws NonFiniteLoss; the weights are then those of the step before.
  // Of several processes, all must call it; throws as ProcessGroup.
  StepFigures Step();

  // Takes weights and state from rank 0, so that all begin alike whatever they were built on. To be
  // called by all processes after rank 0 has its own, and before the first step.
  void Unite();

  void Save(const std::filesystem::path& file) const override;
  void Load(const std::filesystem::path& file) override;

 private:
  static const ProcessGroup& Alone();
  std::vector<int64_t> NextShare();
  torch::Tensor Loss(const std::vector<int64_t>& numbers);

  ProAd model_;
  const Recipe recipe_;
  FeatureCache& features_;
  const ProcessGroup& processes_;
  const Length length_;
  const Schedule schedule_;
  StableAdamW optimizer_;
  int64_t order_epoch_ = -1;    // whose order `order_` is
  std::vector<int64_t> order_;  // pictures of that epoch
};

}  // namespace proad::model
