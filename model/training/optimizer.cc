#include "model/training/optimizer.h"

#include <ATen/ATen.h>
#include <torch/nn/utils/clip_grad.h>

#include <cmath>
#include <numbers>
#include <sstream>
#include <utility>
#include <vector>

#include "model/files/error.h"
#include "model/spec/non_finite_loss.h"

namespace proad::model {
namespace {

constexpr char kSteps[] = "steps";

[[noreturn]] void RefuseState(const std::string& message) {
  throw InvalidInput("optimizer", "STATE_MISMATCH", "the optimizer's state " + message);
}

std::string Describe(const torch::Tensor& tensor) {
  std::ostringstream text;
  text << tensor.scalar_type() << ' ' << tensor.sizes();
  return text.str();
}

// Throws unless `state` has the names of `expected`, with the same shapes and types.
void CheckState(const std::map<std::string, torch::Tensor>& state,
                const std::map<std::string, torch::Tensor>& expected) {
  for (const auto& [name, tensor] : expected) {
    const auto it = state.find(name);
    if (it == state.end()) RefuseState("lacks '" + name + "', " + Describe(tensor));
    if (it->second.sizes() != tensor.sizes() || it->second.scalar_type() != tensor.scalar_type()) {
      RefuseState("has '" + name + "' as " + Describe(it->second) + "; it must be " +
                  Describe(tensor));
    }
  }
  for (const auto& [name, tensor] : state) {
    if (!expected.contains(name)) RefuseState("has '" + name + "', which belongs to no parameter");
  }
}

}  // namespace

StableAdamW::StableAdamW(const torch::OrderedDict<std::string, torch::Tensor>& parameters,
                         const Options& options)
    : options_(options), parameters_(parameters) {
  for (const auto& item : parameters_) {
    const torch::Tensor start = at::zeros_like(item.value(), at::MemoryFormat::Contiguous);
    moments_[item.key()] = {start, start.clone(), start.clone()};
  }
}

void StableAdamW::ZeroGradients() {
  for (auto& item : parameters_) item.value().mutable_grad().reset();
}

void StableAdamW::CheckGradients() const {
  for (const auto& item : parameters_) {
    TORCH_CHECK(item.value().grad().defined(), "the parameter ", item.key(),
                " has no gradient; the loss must depend on every parameter");
  }
}

void StableAdamW::AverageGradients(const ProcessGroup& processes) {
  CheckGradients();
  std::vector<torch::Tensor> gradients;
  for (const auto& item : parameters_) gradients.push_back(item.value().grad());
  processes.Average(gradients);
}

double StableAdamW::ClipGradients(double max_norm) {
  return torch::nn::utils::clip_grad_norm_(parameters_.values(), max_norm);
}

void StableAdamW::Step(double learning_rate) {
  CheckGradients();
  const torch::NoGradGuard no_grad;
  ++steps_;
  for (auto& item : parameters_) Update(item.value(), moments_.at(item.key()), learning_rate);
}

void StableAdamW::Update(torch::Tensor& parameter, Moments& moments, double learning_rate) const {
  const torch::Tensor& gradient = parameter.grad();
  const double steps = static_cast<double>(steps_);
  moments.m.mul_(options_.beta1).add_(gradient, 1 - options_.beta1);
  moments.v.mul_(options_.beta2).addcmul_(gradient, gradient, 1 - options_.beta2);
  if (options_.amsgrad) {
    at::maximum_out(moments.u, moments.u, moments.v);
  } else {
    moments.u.copy_(moments.v);
  }

  const torch::Tensor denominator =
      moments.u.sqrt().div_(std::sqrt(1 - std::pow(options_.beta2, steps))).add_(options_.eps);
  // Stays on the device: a copy to the CPU would block each step.
  const torch::Tensor slowdown =
      (gradient / denominator).square_().mean().sqrt_().div_(options_.update_clip).clamp_min_(1.0);
  parameter.mul_(1 - learning_rate * options_.weight_decay);
  parameter.addcdiv_(moments.m, denominator * slowdown,
                     -learning_rate / (1 - std::pow(options_.beta1, steps)));
}

std::map<std::string, torch::Tensor> StableAdamW::State() const {
  std::map<std::string, torch::Tensor> state = {{kSteps, at::full({1}, steps_, at::kLong)}};
  for (const auto& [name, moments] : moments_) {
    state[name + ".m"] = moments.m;
    state[name + ".v"] = moments.v;
    state[name + ".u"] = moments.u;
  }
  return state;
}

void StableAdamW::Load(const std::map<std::string, torch::Tensor>& state) {
  const std::map<std::string, torch::Tensor> own = State();
  CheckState(state, own);
  const int64_t steps = state.at(kSteps).item<int64_t>();
  if (steps < 0) RefuseState("has " + std::to_string(steps) + " steps; it must have 0 or more");
  steps_ = steps;
  for (const auto& [name, tensor] : own) {
    if (name != kSteps) torch::Tensor(tensor).copy_(state.at(name));
  }
}

double Descend(const torch::Tensor& loss, double max_norm, double learning_rate,
               StableAdamW& optimizer, const ProcessGroup& processes) {
  const auto fail = [&](const char* what) {
    throw NonFiniteLoss(optimizer.steps() + 1, learning_rate, what);
  };
  const auto value = processes.Mean(loss).item<double>();
  if (!std::isfinite(value)) fail("loss");
  optimizer.ZeroGradients();
  loss.backward();
  optimizer.AverageGradients(processes);
  if (!std::isfinite(optimizer.ClipGradients(max_norm))) fail("norm of the gradients");
  optimizer.Step(learning_rate);
  return value;
}

Schedule::Schedule(const Options& options) : options_(options) {
  const auto check = [](bool holds, const std::string& option, const auto& value,
                        const std::string& right) {
    if (holds) return;
    std::ostringstream message;
    message << option << " is " << value << "; it must be " << right;
    throw InvalidInput(option, "SCHEDULE_INVALID", message.str());
  };
  check(std::isfinite(options.learning_rate) && options.learning_rate >= 0, "learning_rate",
        options.learning_rate, "a number from 0");
  check(options.final_ratio >= 0 && options.final_ratio <= 1, "final_learning_rate_ratio",
        options.final_ratio, "0 to 1");
  check(options.total_steps >= 1, "total_steps", options.total_steps, "at least 1");
  check(options.warmup_steps >= 0 && options.warmup_steps <= options.total_steps, "warmup_steps",
        options.warmup_steps,
        "0 to the number of all steps, " + std::to_string(options.total_steps));
}

double Schedule::LearningRate(int64_t step) const {
  const auto& [base, final_ratio, warmup, total] = options_;
  if (step < warmup) return warmup == 1 ? 0.0 : base * static_cast<double>(step) / (warmup - 1);
  const double last = base * final_ratio;
  if (step >= total) return last;
  const double done = static_cast<double>(step - warmup) / (total - warmup);
  return last + (base - last) / 2 * (1 + std::cos(std::numbers::pi * done));
}

}  // namespace proad::model
