// The optimizer StableAdamW and the learning-rate schedule (paper, section 4.1; model/README.md,
// "what the paper leaves open").
//
// A StableAdamW belongs to one thread. A Schedule is immutable and safe to use from any thread.
#pragma once

#include <c10/util/Exception.h>  // ordered_dict.h needs it and does not include it
#include <torch/ordered_dict.h>
#include <torch/types.h>

#include <cstdint>
#include <map>
#include <string>

#include "model/training/process_group.h"

namespace proad::model {

// AdamW with update clipping: the update of a tensor is scaled down if its gradient is much larger
// than the gradients before. With gradient g, step t = 1, 2, ... and learning rate lr:
//   p <- (1 - lr decay) p
//   m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2
//   u <- max(u, v), or v without amsgrad
//   D = sqrt(u) / sqrt(1 - beta2^t) + eps
//   p <- p - lr / (1 - beta1^t) / max(1, RMS(g / D) / clip) m / D
// Weight decay applies to every tensor, including prototypes, biases and norms.
class StableAdamW {
 public:
  struct Options {
    double weight_decay = 1e-5;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double eps = 1e-10;
    double update_clip = 1.0;  // updates with a larger RMS of g / D are scaled down
    bool amsgrad = true;
  };

  // Shares `parameters` with the network and changes them in place. They must keep their device and
  // precision.
  StableAdamW(const torch::OrderedDict<std::string, torch::Tensor>& parameters,
              const Options& options);

  // Clears the gradients of the previous step.
  void ZeroGradients();

  // Replaces each gradient by its mean over all processes. Throws c10::Error that names a parameter
  // without gradient, and as ProcessGroup.
  void AverageGradients(const ProcessGroup& processes);

  // Scales all gradients so that their joint L2 norm is at most `max_norm`. Returns the norm before
  // the scaling. If it is not finite, the gradients are invalid and no step may follow.
  double ClipGradients(double max_norm);

  // Updates every parameter from its gradient. Throws c10::Error that names a parameter without
  // gradient; then no parameter has changed.
  void Step(double learning_rate);

  // Number of steps taken.
  int64_t steps() const { return steps_; }

  // The state that a later run needs, beside the parameters, to continue with identical results:
  // "steps" (int64 [1]) and for each parameter <name>.m, <name>.v and <name>.u of its shape. All
  // except "steps" share memory with the optimizer and change with the next Step.
  std::map<std::string, torch::Tensor> State() const;

  // Copies such a state into the optimizer. Throws InvalidInput (field "optimizer", reason
  // STATE_MISMATCH) that names a missing or unknown tensor, or one of another shape or type; then
  // the optimizer has not changed.
  void Load(const std::map<std::string, torch::Tensor>& state);

 private:
  struct Moments {
    torch::Tensor m;  // running mean of the gradient
    torch::Tensor v;  // running mean of its square
    torch::Tensor u;  // largest v so far; without amsgrad: v
  };

  void CheckGradients() const;
  void Update(torch::Tensor& parameter, Moments& moments, double learning_rate) const;

  const Options options_;
  torch::OrderedDict<std::string, torch::Tensor> parameters_;
  std::map<std::string, Moments> moments_;  // by the parameter's name
  int64_t steps_ = 0;
};

// One training step: computes the gradients of `loss`, clips their joint norm to `max_norm`, and
// updates the parameters. Returns the loss. With several processes, `loss` is that of this
// process's share; loss and gradients are averaged over the processes, and all make the same step.
// Throws NonFiniteLoss (non_finite_loss.h), and as ProcessGroup; then no parameter has changed.
double Descend(const torch::Tensor& loss, double max_norm, double learning_rate,
               StableAdamW& optimizer, const ProcessGroup& processes = ProcessGroup());

// The learning rate of each step: a linear warm-up from 0, then half a cosine.
class Schedule {
 public:
  struct Options {
    double learning_rate = 1e-4;  // base, the highest
    double final_ratio = 0.1;     // final learning rate / base
    int64_t warmup_steps = 0;     // W
    int64_t total_steps = 1;      // T, including the warm-up
  };

  // Throws InvalidInput (reason SCHEDULE_INVALID) that names the invalid option.
  explicit Schedule(const Options& options);

  // The learning rate of step `step`, counted from 0:
  //   step < W:       base step / (W - 1); 0 if W is 1
  //   W <= step < T:  final + (base - final) / 2 (1 + cos(pi (step - W) / (T - W)))
  //   beyond:         final
  double LearningRate(int64_t step) const;

 private:
  Options options_;
};

}  // namespace proad::model
