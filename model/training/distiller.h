// Trains a small encoder to reproduce a larger network's features, one batch of views per step.
//
// The targets of each patch are the teacher's features, projected to their principal directions
// (target_space.h). The mean of each group of the student's taps learns them. Every random choice
// is a function of the seed and of the step. Thread-safety: belongs to one thread.
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
  // Trains `student` on the photographs 0 .. count - 1. The teacher must be on the student's device
  // and outlive the distiller. Throws InvalidInput that names the invalid option.
  Distiller(const VisionTransformer& student, const Teacher& teacher, PhotographReader photographs,
            int64_t count, const DistilOptions& options);

  // Computes the target spaces. Call this or Load before the first Step. `fresh`: also initialises
  // the student's weights; its patch projection becomes a cosine transform, which keeps the details
  // of a patch, and its biases give the anchors. Draws random numbers from LibTorch's generator.
  void Begin(bool fresh);

  int64_t step() const { return optimizer_.steps(); }  // number of steps done

  struct StepFigures {
    double loss = 0;  // before the step: the mean of `unexplained`
    // By group: the share of the targets' variance that the student does not explain, 0 at best.
    std::vector<double> unexplained;
    double learning_rate = 0;
  };

  // Trains on the next batch. Throws NonFiniteLoss; then the weights are those of the previous
  // step.
  StepFigures Step();

  // `unexplained` in `batches` batches of views that no step trains on, by group.
  std::vector<double> Evaluate(int64_t batches);

  void Save(const std::filesystem::path& file) const override;
  void Load(const std::filesystem::path& file) override;

 private:
  void InitialiseStudent();
  // `unexplained` in the views of a stream, by group; scalars.
  std::vector<torch::Tensor> Unexplained(uint64_t stream);
  std::vector<torch::Tensor> Targets(const torch::Tensor& views) const;
  // The views of one stream of random numbers, of one side S. -> RGB in 0..1, [B, 3, S, S]
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
