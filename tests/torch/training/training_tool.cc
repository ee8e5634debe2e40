// Takes training steps and writes their results, which training_parity.py compares with another
// implementation. tool_job.h has the protocol. Jobs:
//
//   job=train encoder=FILE weights=FILE input=FILE output=FILE preset=NAME [tau=] [gradient_clip=]
//       [dropout=] [seed=] learning_rate= final_ratio= warmup_steps= weight_decay=
//       [option of ModelConfig ...]
//     input: "images", normalised float [S, B, 3, H, W], one batch per step. output: loss, norm (of
//     all gradients before clipping) and learning_rate, each [S]; gradient.<name> of the first step
//     before clipping; weight.<name> after the last step.
//
//   job=optimize input=FILE output=FILE weight_decay= type=F32|F64
//     input: "learning_rate" F64 [S], parameter.<name> and gradient.<name> [S, ...], of the type.
//     output: parameter.<name> [S, ...], after every step.
//
//   job=teach teacher=FILE input=FILE output=FILE groups= grid=
//     input: "images", RGB in 0..1, [B, 3, S, S], of patches of 14 pixels. output:
//     <group>.<kind> [B, grid * grid, D].

#include <ATen/ATen.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/files/tensor_file.h"
#include "model/network/pro_ad.h"
#include "model/network/teacher.h"
#include "model/network/weight_import.h"
#include "model/training/loss.h"
#include "model/training/optimizer.h"
#include "tests/torch/tool_job.h"

namespace proad::model::testing {
namespace {

using Tensors = std::map<std::string, torch::Tensor>;

double TakeNumber(Options& options, const std::string& name) {
  return std::stod(Take(options, name));
}

ProAd TakeModel(Options& options) {
  ModelConfig config = TakeConfig(options);
  const ImportedEncoder encoder =
      ImportEncoder(ReadTensorFile(Take(options, "encoder")), config.encoder);
  config.encoder = encoder.config;
  ProAd model(config);
  LoadEncoder(*model->encoder, encoder);
  LoadTrainable(model, ReadTensorFile(Take(options, "weights")));
  model->set_dropout(std::stod(Take(options, "dropout", "0")));
  model->train();
  return model;
}

std::string Train(Options options) {
  ProAd model = TakeModel(options);
  const torch::Tensor images =
      CopyTensor(ReadTensorFile(Take(options, "input")).tensors.at("images"), at::kFloat);
  const std::string output = Take(options, "output");
  const double tau = std::stod(Take(options, "tau", "3"));
  const double gradient_clip = std::stod(Take(options, "gradient_clip", "0.1"));
  const Schedule schedule({.learning_rate = TakeNumber(options, "learning_rate"),
                           .final_ratio = TakeNumber(options, "final_ratio"),
                           .warmup_steps = std::stoll(Take(options, "warmup_steps")),
                           .total_steps = images.size(0)});
  StableAdamW optimizer(model->TrainableParameters(),
                        {.weight_decay = TakeNumber(options, "weight_decay")});
  at::manual_seed(std::stoull(Take(options, "seed", "0")));
  RefuseRest(options);

  Tensors computed;
  std::vector<double> losses, norms, rates;
  for (int64_t step = 0; step < images.size(0); ++step) {
    optimizer.ZeroGradients();
    const torch::Tensor loss = ReconstructionLoss(model->forward(images[step]), tau);
    loss.backward();
    if (step == 0) {
      for (const auto& item : model->TrainableParameters()) {
        computed["gradient." + item.key()] = item.value().grad().clone();
      }
    }
    losses.push_back(loss.item<double>());
    norms.push_back(optimizer.ClipGradients(gradient_clip));
    rates.push_back(schedule.LearningRate(step));
    optimizer.Step(rates.back());
  }
  for (const auto& item : model->TrainableParameters()) {
    computed["weight." + item.key()] = item.value();
  }
  computed["loss"] = at::tensor(losses, at::kDouble);
  computed["norm"] = at::tensor(norms, at::kDouble);
  computed["learning_rate"] = at::tensor(rates, at::kDouble);
  Write(output, std::move(computed));
  return std::to_string(losses.size());
}

std::string Optimize(Options options) {
  const at::ScalarType type = Take(options, "type") == "F64" ? at::kDouble : at::kFloat;
  const TensorFile input = ReadTensorFile(Take(options, "input"));
  const std::string output = Take(options, "output");
  const double weight_decay = TakeNumber(options, "weight_decay");
  RefuseRest(options);

  torch::OrderedDict<std::string, torch::Tensor> parameters;
  Tensors gradients;
  for (const auto& [name, view] : input.tensors) {
    if (name.starts_with("parameter.")) {
      parameters.insert(name.substr(10), CopyTensor(view, type).requires_grad_());
    } else if (name.starts_with("gradient.")) {
      gradients[name.substr(9)] = CopyTensor(view, type);
    }
  }
  const torch::Tensor rates = CopyTensor(input.tensors.at("learning_rate"), at::kDouble);
  StableAdamW optimizer(parameters, {.weight_decay = weight_decay});
  std::map<std::string, std::vector<torch::Tensor>> steps;
  for (int64_t step = 0; step < rates.size(0); ++step) {
    for (auto& item : parameters)
      item.value().mutable_grad() = gradients.at(item.key())[step].clone();
    optimizer.Step(rates[step].item<double>());
    for (const auto& item : parameters) steps[item.key()].push_back(item.value().detach().clone());
  }
  Tensors computed;
  for (const auto& [name, values] : steps) computed["parameter." + name] = at::stack(values);
  Write(output, std::move(computed));
  return std::to_string(rates.size(0));
}

std::string Teach(Options options) {
  const int grid = std::stoi(Take(options, "grid"));
  const auto teacher = LoadTeacher(Take(options, "teacher"), std::stoi(Take(options, "groups")),
                                   /*patch=*/14, at::kCPU);
  const torch::Tensor images =
      CopyTensor(ReadTensorFile(Take(options, "input")).tensors.at("images"), at::kFloat);
  const std::string output = Take(options, "output");
  RefuseRest(options);
  const torch::NoGradGuard no_grad;
  Tensors computed;
  const std::vector<TeacherFeatures> groups = teacher->Features(images, grid);
  for (size_t g = 0; g < groups.size(); ++g) {
    for (size_t k = 0; k < groups[g].kinds.size(); ++k) {
      computed[std::to_string(g) + "." + std::to_string(k)] = groups[g].kinds[k];
    }
  }
  Write(output, std::move(computed));
  return teacher->name();
}

}  // namespace
}  // namespace proad::model::testing

int main() {
  using namespace proad::model::testing;
  at::set_num_threads(1);
  AnswerJobs([](Options options) {
    const std::string job = Take(options, "job");
    if (job == "teach") return Teach(std::move(options));
    return job == "optimize" ? Optimize(std::move(options)) : Train(std::move(options));
  });
  return 0;
}
