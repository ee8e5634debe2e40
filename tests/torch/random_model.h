// Small networks with random weights, for tests of the network's mathematics.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <string>
#include <vector>

#include "model/network/pro_ad.h"
#include "model/spec/config.h"

namespace proad::model::testing {

// Small enough to be quick, and with every side different: 4 x 6 patches, 5 prefix tokens.
inline ModelConfig SmallConfig() {
  ModelConfig config;
  config.preset = "test";
  config.encoder.width = 64;
  config.encoder.heads = 2;
  config.encoder.blocks = 9;
  config.encoder.position_grid = 5;
  config.encoder.taps = {1, 2, 3, 4, 5, 6, 7, 8};
  config.decoder_layers = 8;
  config.input_height = 56;
  config.input_width = 84;
  return config;
}

// In evaluation mode. No tensor is trivial, so that one left out or mixed up with another shows.
inline ProAd RandomModel(const ModelConfig& config, torch::Device device = torch::kCPU,
                         uint64_t seed = 7) {
  at::manual_seed(seed);
  ProAd model(config);
  const torch::NoGradGuard no_grad;
  for (auto& item : model->named_parameters()) {
    const std::string& name = item.key();
    torch::Tensor& value = item.value();
    const bool matrix = value.dim() == 2 && name != "prototypes";
    if (matrix) {
      value.normal_(0.0, 1.0 / std::sqrt(static_cast<double>(value.size(1))));
    } else if (name.ends_with("gamma")) {
      value.normal_(0.3, 0.1);
    } else if (name.find("norm") != std::string::npos && name.ends_with("weight")) {
      value.normal_(1.0, 0.1);
    } else if (name.ends_with("bias")) {
      value.normal_(0.0, 0.1);
    }
  }
  model->to(device);
  model->eval();
  return model;
}

// uint8 [batch, H, W, 3]
inline torch::Tensor RandomPixels(const ModelConfig& config, int64_t batch, uint64_t seed = 3) {
  at::manual_seed(seed);
  return torch::randint(0, 256, {batch, config.input_height, config.input_width, 3},
                        torch::TensorOptions().dtype(torch::kUInt8));
}

inline double MaxDifference(const torch::Tensor& a, const torch::Tensor& b) {
  return (a.to(torch::kCPU, torch::kFloat64) - b.to(torch::kCPU, torch::kFloat64))
      .abs()
      .max()
      .item<double>();
}

// The largest difference, as a share of the largest value of `expected`.
inline double RelativeDifference(const torch::Tensor& actual, const torch::Tensor& expected) {
  return MaxDifference(actual, expected) / expected.abs().max().item<double>();
}

// Runs the test on the CPU, and on a GPU where there is one.
class OnEveryDevice : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() == "cuda" && !at::hasCUDA()) GTEST_SKIP() << "no CUDA device here";
  }
  torch::Device device() const { return torch::Device(GetParam()); }
};

inline std::string DeviceName(const ::testing::TestParamInfo<std::string>& info) {
  return info.param;
}

}  // namespace proad::model::testing
