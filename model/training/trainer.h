// Trains a network, one batch per step (paper, sections 3.5 and 4.1).
//
// Every random choice is a function of the recipe's seed and of the step. A training that continues
// from a saved state therefore ends with the same weights, equal to the bit on a CPU with the same
// number of threads. Thread-safety: belongs to one thread.
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
  // Trains the trainable parameters of `model` on all images in `features`. `features` and
  // `processes` must outlive the trainer. Several processes must have the same model, recipe and
  // features; each computes its share of every batch, and all make the same steps. Throws
  // InvalidInput if the recipe does not fit the number of images or processes, or (field
  // "overrides.precision", PRECISION_UNSUPPORTED) the device.
  Trainer(const ProAd& model, const Recipe& recipe, FeatureCache& features,
          const ProcessGroup& processes = Alone());

  const Length& length() const { return length_; }
  int64_t step() const { return optimizer_.steps(); }  // number of steps done

  struct StepFigures {
    double loss = 0;  // before the step
    double learning_rate = 0;
  };

  // Trains on the next batch. All processes must call it. Throws NonFiniteLoss, and as
  // ProcessGroup; then the weights are those of the previous step.
  StepFigures Step();

  // Copies weights and optimizer state from rank 0 to all processes. All processes call it before
  // the first step, after rank 0 has restored its state.
  void CopyFromFirst();

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
  int64_t order_epoch_ = -1;    // the epoch of order_
  std::vector<int64_t> order_;  // numbers of the images of that epoch
};

}  // namespace proad::model
