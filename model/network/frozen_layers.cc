#include "model/network/frozen_layers.h"

#include <ATen/ATen.h>

#include <utility>

namespace proad::model {

Affine AffineOf(const torch::nn::Linear& linear) {
  return {linear->weight.to(torch::kFloat64), linear->bias.to(torch::kFloat64)};
}

Affine AfterNorm(const torch::nn::LayerNorm& norm, const Affine& affine) {
  return {affine.weight * norm->weight.to(torch::kFloat64),
          affine.bias + affine.weight.matmul(norm->bias.to(torch::kFloat64))};
}

Affine Scaled(const Affine& affine, const torch::Tensor& gamma) {
  const torch::Tensor factor = gamma.to(torch::kFloat64);
  return {affine.weight * factor.unsqueeze(1), affine.bias * factor};
}

Affine SideBySide(const std::vector<Affine>& layers) {
  std::vector<torch::Tensor> weights, biases;
  for (const Affine& layer : layers) {
    weights.push_back(layer.weight);
    biases.push_back(layer.bias);
  }
  return {at::cat(weights), at::cat(biases)};
}

torch::Tensor Whiten(const torch::Tensor& x, double eps) {
  return at::layer_norm(x, {x.size(-1)}, /*weight=*/{}, /*bias=*/{}, eps);
}

void GroupSums::Add(int layer, const torch::Tensor& x) {
  torch::Tensor& sum = sums_[layer / group_size_];
  sum = sum.defined() ? sum.add_(x) : x.clone();
}

std::vector<torch::Tensor> GroupSums::Means() && {
  for (torch::Tensor& sum : sums_) sum.div_(group_size_);
  return std::move(sums_);
}

}  // namespace proad::model
