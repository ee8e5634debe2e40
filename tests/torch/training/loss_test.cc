// The loss: its value (eq. 11), what soft mining does to its gradient (eq. 10), and where no
// gradient goes.

#include "model/training/loss.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/torch/random_model.h"

namespace proad::model {
namespace {

using ::proad::model::testing::MaxDifference;
using ::proad::model::testing::RandomModel;
using ::proad::model::testing::RelativeDifference;
using ::proad::model::testing::SmallConfig;
using ::testing::AllOf;
using ::testing::HasSubstr;

// [B, h, w, C], every side different.
torch::Tensor Features(uint64_t seed) {
  at::manual_seed(seed);
  return at::randn({2, 3, 4, 5}, at::kDouble);
}

double Loss(const torch::Tensor& encoder, const torch::Tensor& decoder, double tau = kDefaultTau) {
  return ReconstructionLoss({{encoder}, {decoder}}, tau).item<double>();
}

// The loss's gradient at `decoder`.
torch::Tensor GradientOf(const torch::Tensor& encoder, const torch::Tensor& decoder, double tau) {
  const torch::Tensor leaf = decoder.detach().clone().requires_grad_();
  ReconstructionLoss({{encoder}, {leaf}}, tau).backward();
  return leaf.grad();
}

class LossTest : public ::testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(1); }
};

TEST_F(LossTest, IsOneMinusTheCosineOfWholeImages) {
  // Two images of 1 x 2 patches with two channels.
  const torch::Tensor encoder = at::tensor({1.0, 0.0, 0.0, 1.0, 1.0, 2.0, 3.0, 4.0}, at::kDouble);
  const torch::Tensor decoder = at::tensor({1.0, 0.0, 1.0, 0.0, 2.0, 4.0, 6.0, 8.0}, at::kDouble);
  const std::vector<int64_t> shape = {2, 1, 2, 2};
  // The first image's cosine is 1 / (sqrt 2 sqrt 2), though its patches have cosines of 1 and 0;
  // the second image is the same at another scale.
  EXPECT_NEAR(Loss(encoder.view(shape), decoder.view(shape)), (0.5 + 0.0) / 2, 1e-12);
}

TEST_F(LossTest, IsTheMeanOfTheGroups) {
  const torch::Tensor a = Features(1), b = Features(2), c = Features(3), d = Features(4);
  EXPECT_NEAR(ReconstructionLoss({{a, b}, {c, d}}).item<double>(), (Loss(a, c) + Loss(b, d)) / 2,
              1e-12);
}

TEST_F(LossTest, IsZeroForEqualAndTwoForOppositeFeatures) {
  const torch::Tensor features = Features(1);
  EXPECT_NEAR(Loss(features, 3 * features), 0.0, 1e-12);
  EXPECT_NEAR(Loss(features, -features), 2.0, 1e-12);
}

TEST_F(LossTest, MiningDoesNotChangeTheValue) {
  const torch::Tensor encoder = Features(1).to(at::kFloat);
  const torch::Tensor decoder = Features(2).to(at::kFloat);
  EXPECT_EQ(Loss(encoder, decoder, 3.0), Loss(encoder, decoder, 0.0));
}

TEST_F(LossTest, MiningMultipliesTheGradientOfEachPatch) {
  const torch::Tensor encoder = Features(1), decoder = Features(2);
  const torch::Tensor plain = GradientOf(encoder, decoder, 0.0);
  const torch::Tensor mined = GradientOf(encoder, decoder, 3.0);
  const torch::Tensor distance =
      1 - (encoder * decoder).sum(3) / (encoder.square().sum(3) * decoder.square().sum(3)).sqrt();
  const torch::Tensor factor = (distance / distance.mean()).pow(3);
  // The factors must differ between patches and between images; otherwise the test shows nothing.
  EXPECT_GT(factor.max().item<double>(), 10 * factor.min().item<double>());
  EXPECT_LE(RelativeDifference(mined, plain * factor.unsqueeze(3)), 1e-12);
}

TEST_F(LossTest, WithoutMiningTheGradientIsThatOfTheValue) {
  const torch::Tensor encoder = Features(1), decoder = Features(2);
  const torch::Tensor gradient = GradientOf(encoder, decoder, 0.0);
  const torch::Tensor direction = Features(3);
  constexpr double kStep = 1e-5;
  const double slope =
      (Loss(encoder, decoder + kStep * direction) - Loss(encoder, decoder - kStep * direction)) /
      (2 * kStep);
  EXPECT_NEAR((gradient * direction).sum().item<double>(), slope, 1e-8);
}

TEST_F(LossTest, ComparesHalfPrecisionInFloat) {
  const torch::Tensor encoder = Features(1).to(at::kBFloat16);
  const torch::Tensor decoder = Features(2).to(at::kBFloat16);
  const torch::Tensor loss = ReconstructionLoss({{encoder}, {decoder}});
  EXPECT_EQ(loss.scalar_type(), at::kFloat);
  EXPECT_NEAR(loss.item<double>(), Loss(encoder.to(at::kDouble), decoder.to(at::kDouble)), 1e-6);
}

TEST_F(LossTest, ZeroAndEqualFeaturesGiveFiniteGradients) {
  const torch::Tensor features = Features(1).to(at::kFloat);
  const torch::Tensor zero = at::zeros_like(features);
  EXPECT_EQ(Loss(features, zero), 1.0);
  EXPECT_EQ(Loss(zero, features), 1.0);
  for (const auto& [encoder, decoder] : {std::pair(features, zero), std::pair(zero, features),
                                         std::pair(zero, zero), std::pair(features, features)}) {
    EXPECT_TRUE(GradientOf(encoder, decoder, 3.0).isfinite().all().item<bool>());
  }
  torch::Tensor one_patch_of_zero = features.clone();
  one_patch_of_zero[0][1][2].zero_();
  EXPECT_TRUE(GradientOf(features, one_patch_of_zero, 3.0).isfinite().all().item<bool>());
}

TEST_F(LossTest, NonFiniteNetworkGivesANonFiniteLoss) {
  torch::Tensor decoder = Features(2);
  decoder[1][0][0][0] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(Loss(Features(1), decoder)));
}

TEST_F(LossTest, GradientReachesAllTrainableParametersAndNotTheEncoder) {
  const ModelConfig config = SmallConfig();
  ProAd model = RandomModel(config);
  model->train();
  model->set_dropout(0.2);
  // Even where somebody lets the encoder, or stored groups of taps, record gradients.
  for (torch::Tensor& parameter : model->encoder->parameters()) parameter.set_requires_grad(true);
  at::manual_seed(5);
  std::vector<torch::Tensor> taps =
      model->Encode(at::randn({2, 3, config.input_height, config.input_width}));
  Reconstruction reconstruction = model->Reconstruct(taps);
  for (torch::Tensor& group : reconstruction.encoder_groups) {
    group = group.detach().clone().requires_grad_();
  }
  ReconstructionLoss(reconstruction).backward();

  for (const auto& item : model->TrainableParameters()) {
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
    EXPECT_TRUE(item.value().grad().isfinite().all().item<bool>()) << item.key();
    EXPECT_GT(item.value().grad().abs().max().item<float>(), 0.0f) << item.key();
  }
  for (const auto& item : model->encoder->named_parameters()) {
    EXPECT_FALSE(item.value().grad().defined()) << item.key();
  }
  for (const torch::Tensor& group : reconstruction.encoder_groups)
    EXPECT_FALSE(group.grad().defined());
}

TEST_F(LossTest, ShapeErrorsNameTheExpectedShape) {
  const auto error_of = [](const Reconstruction& reconstruction,
                           double tau = kDefaultTau) -> std::string {
    try {
      ReconstructionLoss(reconstruction, tau);
    } catch (const c10::Error& error) {
      return error.what_without_backtrace();
    }
    return "(nothing was thrown)";
  };
  const torch::Tensor features = Features(1);
  EXPECT_THAT(error_of({{}, {}}), HasSubstr("0 encoder groups and 0 decoder groups"));
  EXPECT_THAT(error_of({{features, features}, {features}}),
              AllOf(HasSubstr("2 encoder groups and 1 decoder groups"),
                    HasSubstr("the same number of both")));
  EXPECT_THAT(error_of({{features, features}, {features, features.narrow(3, 0, 4)}}),
              AllOf(HasSubstr("group 1 must be [B, h, w, C]"), HasSubstr("[2, 3, 4, 4]")));
  EXPECT_THAT(error_of({{features}, {features}}, -1.0),
              AllOf(HasSubstr("tau"), HasSubstr("got -1")));
}

}  // namespace
}  // namespace proad::model
