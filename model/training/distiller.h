// Teaches a small encoder what a larger network sees, one batch of views at a time.
//
// Of each patch of a view the teacher makes features; the mean of each group of the student's taps
// is to be, patch by patch, the teacher's features in the directions that matter (target_space.h).
// Every random choice is a function of the seed and of the step. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "model/network/target_space.h"
#include "model/network/teacher.h"
#include "model/network/vision_transformer.h"
#include "model/picture/random_view.h"
#include "model/spec/distil_spec.h"
#include "model/spec/non_finite_loss.h"
#include "model/training/optimizer.h"
#include "model/training/training_state.h"

namespace proad::model {

class Distiller : public Resumable {
 public:
  // Changes `student`, and looks at photographs 0 .. count - 1. The teacher must be on the
  // student's device and outlive this. Throws InvalidInput naming the option that is impossible.
  Distiller(const VisionTransformer& student, const Teacher& teacher, PhotographReader photographs,
            int64_t count, const DistilOptions& options);

  // Finds what the student is to copy; call this, or Load, before the first Step. A fresh student
  // also gets weights to start from: its patch projection is a cosine transform, so that no detail
  // is lost from the first step on, and the anchors stand already. Random choices come from
  // LibTorch's generator.
  void Begin(bool fresh);

  int64_t step() const { return optimizer_.steps(); }  // done

  struct StepFigures {
    double loss = 0;  // before the step: the mean of `unexplained`
    // By group: what share of the targets' variance the student misses. 1: it knows nothing, 0:
    // all.
    std::vector<double> unexplained;
    double learning_rate = 0;
  };

  // Learns from the next batch. Throws NonFiniteLoss; the weights are then those of the step
  // before.
  StepFigures Step();

  // By group, what share of the targets' variance the student misses in `batches` batches of views
  // that no step sees.
  std::vector<double> Examine(int64_t batches);

  void Save(const std::filesystem::path& file) const override;
  void Load(const std::filesystem::path& file) override;

 private:
  void InitialiseStudent();
  // By group, how much of the targets' variance the student misses in the views of a stream.
  std::vector<torch::Tensor> Missed(uint64_t stream);
  std::vector<torch::Tensor> Targets(const torch::Tensor& views) const;
  // The views of one stream of random numbers: a batch of one side. -> RGB in 0..1, [B, 3, S, S]
  torch::Tensor Views(uint64_t stream) const;
  // -> by group, [B, patches, C]
  std::vector<torch::Tensor> Predict(const torch::Tensor& views, uint64_t stream);
  int GridOf(const torch::Tensor& views) const;

  VisionTransformer student_;
  const Teacher& teacher_;
  const PhotographReader photographs_;
  const int64_t count_;
  const DistilOptions options_;
  const Schedule schedule_;
  StableAdamW optimizer_;
  std::vector<TargetSpace> spaces_;  // by group
};

}  // namespace proad::model
