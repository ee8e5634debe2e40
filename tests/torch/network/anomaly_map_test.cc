// Map and score, against the steps they are made of.

#include "model/network/anomaly_map.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "model/spec/preset.h"
#include "tests/torch/random_model.h"

namespace proad::model {
namespace {

using ::proad::model::testing::DeviceName;
using ::proad::model::testing::MaxDifference;
using ::proad::model::testing::OnEveryDevice;

ModelConfig ConfigOf(int height, int width) {
  ModelConfig config = PresetConfig("proad-base");
  config.input_height = height;
  config.input_width = width;
  return config;
}

// The steps one after another, each by LibTorch's own operator. distances: [B, h, w]
torch::Tensor StepByStep(const torch::Tensor& distances, const ModelConfig& config) {
  torch::Tensor map = at::upsample_bilinear2d(
      distances.unsqueeze(1), {config.input_height, config.input_width}, /*align_corners=*/true);
  map = at::upsample_bilinear2d(map, {256, 256}, /*align_corners=*/false);
  const torch::Tensor offsets = torch::arange(-2, 3).to(torch::kFloat64);
  const torch::Tensor line = (-offsets.square() / (2 * 16.0)).exp();
  torch::Tensor kernel = line.unsqueeze(0) * line.unsqueeze(1);
  kernel = (kernel / kernel.sum()).to(torch::kFloat32).view({1, 1, 5, 5});
  return at::conv2d(map, kernel, {}, 1, 2).squeeze(1);
}

class AnomalyMapOnDevice : public OnEveryDevice {};
INSTANTIATE_TEST_SUITE_P(, AnomalyMapOnDevice, ::testing::Values("cpu", "cuda"), DeviceName);

TEST_P(AnomalyMapOnDevice, OneProductEqualsTheSteps) {
  at::manual_seed(1);
  for (const auto& [height, width] : {std::pair{392, 392}, {280, 280}, {56, 84}, {14, 700}}) {
    const ModelConfig config = ConfigOf(height, width);
    const torch::Tensor distances = torch::rand({3, height / 14, width / 14});
    const torch::Tensor maps = AnomalyMap(config, device()).Smooth(distances.to(device()));
    EXPECT_LE(MaxDifference(maps, StepByStep(distances, config)), 1e-5) << height << " x " << width;
  }
}

TEST_P(AnomalyMapOnDevice, FlatMapDecreasesAtTheBorder) {
  const ModelConfig config = ConfigOf(392, 392);
  const torch::Tensor map =
      AnomalyMap(config, device()).Smooth(torch::ones({1, 28, 28}, device()))[0].cpu();
  EXPECT_NEAR(map[128][128].item<double>(), 1.0, 1e-6);
  EXPECT_NEAR(map[0][128].item<double>(), 0.606, 1e-3);
  EXPECT_NEAR(map[0][0].item<double>(), 0.368, 1e-3);
}

TEST_P(AnomalyMapOnDevice, KeepsRowsAndColumns) {
  const ModelConfig config = ConfigOf(56, 140);
  torch::Tensor distances = torch::zeros({1, 4, 10});
  distances[0][3][2] = 1.0;  // bottom, left
  const int64_t peak =
      AnomalyMap(config, device()).Smooth(distances.to(device())).argmax().item<int64_t>();
  EXPECT_GT(peak / 256, 230);
  EXPECT_NEAR(static_cast<double>(peak % 256), 256 * 2 / 9.0, 8);
}

TEST_P(AnomalyMapOnDevice, DistancesAreMeansOverGroups) {
  const torch::Tensor x = torch::tensor({1.0f, 0.0f}, device()).view({1, 1, 1, 2});
  const torch::Tensor y = torch::tensor({0.0f, 2.0f}, device()).view({1, 1, 1, 2});
  EXPECT_NEAR(PatchDistances({{x}, {x * 5}}).item<double>(), 0.0, 1e-6);
  EXPECT_NEAR(PatchDistances({{x}, {y}}).item<double>(), 1.0, 1e-6);
  EXPECT_NEAR(PatchDistances({{x}, {-x}}).item<double>(), 2.0, 1e-6);
  EXPECT_NEAR(PatchDistances({{x, x}, {y, -x}}).item<double>(), 1.5, 1e-6);
}

TEST_P(AnomalyMapOnDevice, TheLargestDistanceIsThatOfTheGroupFarthestAboveItsLevel) {
  const torch::Tensor x = torch::tensor({1.0f, 0.0f}, device()).view({1, 1, 1, 2});
  const torch::Tensor y = torch::tensor({0.0f, 1.0f}, device()).view({1, 1, 1, 2});
  const Reconstruction one_and_two = {{x, x}, {y, -x}};
  const auto largest = [&](const std::vector<double>& levels) {
    return PatchDistances(one_and_two, {DistanceCombination::kLargest, levels}).item<double>();
  };
  EXPECT_NEAR(largest({}), 2.0, 1e-6);
  EXPECT_NEAR(largest({0.2, 0.2}), 2.0, 1e-6);
  EXPECT_NEAR(largest({0.1, 0.7}), 1.0 * 0.4 / 0.1, 1e-5);
}

TEST_P(AnomalyMapOnDevice, ZeroVectorsHaveDistanceOne) {
  const torch::Tensor zero = torch::zeros({1, 2, 3, 8}, device());
  const torch::Tensor one = torch::ones({1, 2, 3, 8}, device());
  EXPECT_LE(MaxDifference(PatchDistances({{zero, one}, {one, zero}}), torch::ones({1, 2, 3})),
            1e-6);
}

TEST_P(AnomalyMapOnDevice, ScoreIsTheMeanOfTheTopPercent) {
  EXPECT_EQ(kScorePixels, 655);
  at::manual_seed(2);
  torch::Tensor maps = torch::rand({2, 256, 256});
  maps[1] = 0.0;
  maps[1].view(-1).narrow(0, 1000, 655).fill_(0.25);
  maps[1][200][200] = 0.0;
  const torch::Tensor scores = ImageScore(maps.to(device())).cpu();
  const torch::Tensor sorted = std::get<0>(maps[0].flatten().to(torch::kFloat64).sort(0, true));
  EXPECT_NEAR(scores[0].item<double>(), sorted.narrow(0, 0, 655).mean().item<double>(), 1e-6);
  EXPECT_NEAR(scores[1].item<double>(), 0.25, 1e-6);
}

TEST(AnomalyMapTest, ShapeErrorsNameTheExpectedShape) {
  const auto error = [](const auto& call) {
    try {
      call();
    } catch (const c10::Error& caught) {
      return std::string(caught.what_without_backtrace());
    }
    return std::string("(nothing was thrown)");
  };
  const AnomalyMap map(ConfigOf(392, 392), torch::kCPU);
  EXPECT_THAT(
      error([&] {
        map.Smooth(torch::zeros({1, 20, 28}));
      }),
      ::testing::AllOf(::testing::HasSubstr("[B, 28, 28]"), ::testing::HasSubstr("[1, 20, 28]")));
  EXPECT_THAT(error([&] {
                ImageScore(torch::zeros({1, 28, 28}));
              }),
              ::testing::HasSubstr("[B, 256, 256]"));
  const torch::Tensor group = torch::zeros({1, 2, 2, 4});
  EXPECT_THAT(error([&] {
                PatchDistances({{group, group}, {group}});
              }),
              ::testing::HasSubstr("2 encoder groups and 1 decoder groups"));
  EXPECT_THAT(error([&] {
                PatchDistances({{group}, {torch::zeros({1, 2, 3, 4})}});
              }),
              ::testing::HasSubstr("group 0 must be [B, h, w, C] on both sides"));
}

}  // namespace
}  // namespace proad::model
