// Building blocks of frozen networks: layers with constants folded into them, and sums of groups.
//
// Pure functions; safe to call from any thread. A GroupSums belongs to one thread.
#pragma once

#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/types.h>

#include <vector>

#include "model/network/packed_linear.h"

namespace proad::model {

// ---------------------------------------------------------------- folding, in float64

Affine AffineOf(const torch::nn::Linear& linear);

// Folds the weight and bias of a LayerNorm into the layer after it: W (g x + b) = (W g) x + W b.
Affine AfterNorm(const torch::nn::LayerNorm& norm, const Affine& affine);

// The layer with its outputs multiplied by gamma [C].
Affine Scaled(const Affine& affine, const torch::Tensor& gamma);

// Joins layers with the same input to one layer with concatenated outputs.
Affine SideBySide(const std::vector<Affine>& layers);

// ---------------------------------------------------------------- computing

// LayerNorm without weight and bias; AfterNorm has folded them into the next layer.
torch::Tensor Whiten(const torch::Tensor& x, double eps);

// Divides `count` consecutive layers into equal groups and sums the layers of each group.
class GroupSums {
 public:
  GroupSums(int count, int groups) : group_size_(count / groups), sums_(groups) {}

  // `layer` counts from 0. Copies x.
  void Add(int layer, const torch::Tensor& x);

  std::vector<torch::Tensor> Means() &&;

 private:
  int group_size_;
  std::vector<torch::Tensor> sums_;
};

}  // namespace proad::model
