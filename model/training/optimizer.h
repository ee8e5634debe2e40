// How training changes the weights: StableAdamW, and the learning rate of every step (section 4.1;
// model/README.md, "what the paper leaves open").
//
// A StableAdamW belongs to one thread. A Schedule is immutable and safe to use from any.
#pragma once

#include <c10/util/Exception.h>  // ordered_dict.h needs it and does not include it
#include <torch/ordered_dict.h>
#include <torch/types.h>

#include <cstdint>
#include <map>
#include <string>

#include "model/training/process_group.h"

namespace proad::model {

// AdamW whose update is scaled down, tensor by tensor, when a gradient is much larger than its
// history lets expect. With gradient g, step t = 1, 2, ... and learning rate lr:
//   p <- (1 - lr decay) p
//   m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2
//   u <- max(u, v), or v without amsgrad
//   D = sqrt(u) / sqrt(1 - beta2^t) + eps
//   p <- p - lr / (1 - beta1^t) / max(1, RMS(g / D) / clip) m / D
// Every tensor decays, prototypes, biases and norms among them.
class StableAdamW {
 public:
  struct Options {
    double weight_decay = 1e-5;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double eps = 1e-10;
    double update_clip = 1.0;  // RMS of g / D above which an update is scaled down
    bool amsgrad = true;
  };

  // Changes `parameters` in place; they are shared with whoever computes the gradients, and stay
  // where they are, on one device and in one precision.
  StableAdamW(const torch::OrderedDict<std::string, torch::Tensor>& parameters,
              const Options& options);

  // Forgets the gradients of the step before.
  void ZeroGradients();

  // Makes each gradient the mean over all processes. Throws c10::Error naming a parameter that has
  // none, and as ProcessGroup.
  void AverageGradients(const ProcessGroup& processes);

  // Scales all gradients together so that their joint L2 norm is `max_norm` at most. Returns the
  // norm before; where that is not finite, the gradients are useless and no step must follow.
  double ClipGradients(double max_norm);

  // One update of every parameter from its gradient. Throws c10::Error naming a parameter that has
  // none; no parameter is changed then.
  void Step(double learning_rate);

  // Steps taken.
  int64_t steps() const { return steps_; }

  // What a later run needs to go on to the last bit, beside the parameters: "steps" (int64 [1]) and
  // for each parameter <name>.m, <name>.v and <name>.u of its shape. All but "steps" share memory
  // with the optimiser and change with the next Step.
  std::map<std::string, torch::Tensor> State() const;

  // Copies such a state in. Throws InvalidInput (field "optimizer", reason STATE_MISMATCH) naming
  // the tensor that is missing, unknown or of another shape or type; nothing is changed then.
  void Load(const std::map<std::string, torch::Tensor>& state);

 private:
  struct Moments {
    torch::Tensor m;  // running mean of the gradient
    torch::Tensor v;  // running mean of its square
    torch::Tensor u;  // largest v so far; without amsgrad the last
  };

  void CheckGradients() const;
  void Update(torch::Tensor& parameter, Moments& moments, double learning_rate) const;

  const Options options_;
  torch::OrderedDict<std::string, torch::Tensor> parameters_;
  std::map<std::string, Moments> moments_;  // by the parameter's name
  int64_t steps_ = 0;
};

// One step down: the gradients of `loss`, together of norm `max_norm` at most, and the update.
// Returns the loss. Of several processes, each with the loss of its share: loss and gradients are
// the means over all of them, and all make the same step. Throws NonFiniteLoss
// (non_finite_loss.h), and as ProcessGroup; no parameter is changed then.
double Descend(const torch::Tensor& loss, double max_norm, double learning_rate,
               StableAdamW& optimizer, const ProcessGroup& processes = ProcessGroup());

// Learning rate by step: up from 0 in a straight line, then half a cosine down.
class Schedule {
 public:
  struct Options {
    double learning_rate = 1e-4;  // base, the highest
    double final_ratio = 0.1;     // of the base, what the cosine ends in
    int64_t warmup_steps = 0;     // W
    int64_t total_steps = 1;      // T, warm-up among them
  };

  // Throws InvalidInput (reason SCHEDULE_INVALID) naming the option that is impossible.
  explicit Schedule(const Options& options);

  // Of the step after `step` others, from 0:
  //   step < W:       base step / (W - 1), 0 where W is 1
  //   W <= step < T:  final + (base - final) / 2 (1 + cos(pi (step - W) / (T - W)))
  //   beyond:         final
  double LearningRate(int64_t step) const;

 private:
  Options options_;
};

}  // namespace proad::model
