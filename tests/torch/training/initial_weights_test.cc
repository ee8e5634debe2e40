#include "model/training/initial_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "model/network/anomaly_map.h"
#include "model/training/distance_levels.h"
#include "model/training/trainer.h"
#include "tests/support/dataset_files.h"
#include "tests/torch/random_model.h"

namespace proad::model {
namespace {

using proad::testing::SmallBmp;
using proad::testing::TempDirectory;
using proad::testing::WriteFile;
using testing::RandomModel;
using testing::RelativeDifference;
using testing::SmallConfig;

// Images of one grey level each, and their features.
class InitialWeights : public ::testing::Test {
 protected:
  static constexpr int kImages = 12;

  InitialWeights() : model_(RandomModel(SmallConfig())) {
    Preprocessing preprocessing;
    preprocessing.resize_height = preprocessing.crop_height = SmallConfig().input_height;
    preprocessing.resize_width = preprocessing.crop_width = SmallConfig().input_width;
    features_ =
        std::make_unique<FeatureCache>(model_, preprocessing, "encoder", FeatureCache::Options{});
    for (int i = 0; i < kImages; ++i) {
      const std::string name = std::to_string(i) + ".bmp";
      WriteFile(directory_.path(), name, SmallBmp(static_cast<uint8_t>(20 * i + 5), 90, 60));
      features_->Add(Sample{.path = directory_ / name, .name = name, .category = "grey"});
    }
  }

  torch::Tensor Fused() {
    std::vector<int64_t> all(kImages);
    for (int i = 0; i < kImages; ++i) all[i] = i;
    return at::stack(features_->Batch(all)).mean(0);
  }

  // A fresh network with this encoder, as training makes it.
  ProAd Fresh() {
    at::manual_seed(1);
    ProAd fresh(SmallConfig());
    const torch::NoGradGuard no_grad;
    auto own = fresh->encoder->named_parameters();
    for (const auto& item : model_->encoder->named_parameters())
      own[item.key()].copy_(item.value());
    return fresh;
  }

  double FirstLoss(const ProAd& model) {
    Recipe recipe;
    recipe.steps = 1;
    recipe.batch_size = 4;
    return Trainer(model, recipe, *features_).Step().loss;
  }

  TempDirectory directory_;
  ProAd model_;
  std::unique_ptr<FeatureCache> features_;
};

TEST_F(InitialWeights, BottleneckIsTheProjectionOntoThePrincipalDirections) {
  ProAd model = Fresh();
  // Only the weights of the projection: what else is random would show beside it.
  const torch::NoGradGuard no_grad;
  StartFromPrincipalDirections(model, *features_);
  const int64_t width = SmallConfig().encoder.width, kept = width / 4;
  auto& bottleneck = *model->bottleneck;
  bottleneck.fc2->weight.narrow(1, 2 * kept, 4 * width - 2 * kept).zero_();
  model->eval();

  const torch::Tensor fused = Fused();
  const torch::Tensor tokens = fused.flatten(0, 1).to(at::kDouble);
  const torch::Tensor centred = tokens - tokens.mean(0);
  const auto [u, s, v] = at::linalg_svd(centred, /*full_matrices=*/false);
  const torch::Tensor directions = v.narrow(0, 0, kept);
  const torch::Tensor expected =
      tokens.mean(0) + at::matmul(at::matmul(centred, directions.t()), directions);
  EXPECT_LE(RelativeDifference(bottleneck.Image(fused).flatten(0, 1), expected), 1e-4);
}

TEST_F(InitialWeights, PrototypesOfNeighboursAreSimilar) {
  // A fine grid; the directions do not depend on the images' own grid.
  ModelConfig config = SmallConfig();
  config.input_height = config.input_width = 280;
  ProAd model(config);
  const torch::NoGradGuard no_grad;
  StartFromPrincipalDirections(model, *features_);
  const torch::Tensor patches =
      model->prototypes.narrow(0, config.prefix_tokens(), 400).unflatten(0, {20, 20});
  const double beside =
      (patches.slice(1, 1) - patches.slice(1, 0, -1)).square().sum(2).mean().item<double>();
  const double far =
      (patches.select(1, 10) - patches.select(1, 0)).square().sum(1).mean().item<double>();
  EXPECT_LT(beside, far / 2);
  EXPECT_GT(beside, 0);
}

TEST_F(InitialWeights, TrainingStartsWithASmallerLoss) {
  ProAd random = Fresh();
  const double from_random = FirstLoss(random);
  ProAd principal = Fresh();
  StartFromPrincipalDirections(principal, *features_);
  EXPECT_LT(FirstLoss(principal), from_random / 2);
}

TEST_F(InitialWeights, EqualSeedsGiveEqualWeights) {
  ProAd first = Fresh(), second = Fresh();
  for (ProAd* model : {&first, &second}) {
    at::manual_seed(2);
    StartFromPrincipalDirections(*model, *features_);
  }
  const auto others = second->TrainableParameters();
  for (const auto& item : first->TrainableParameters()) {
    EXPECT_TRUE(at::equal(item.value(), others[item.key()])) << item.key();
  }
}

// ---------------------------------------------------------------- after the training

TEST_F(InitialWeights, DistanceLevelsAreTheMeansOfTheGroups) {
  ProAd model = Fresh();
  model->eval();
  const std::vector<double> levels = MeasureDistanceLevels(model, *features_);
  std::vector<int64_t> all(kImages);
  for (int i = 0; i < kImages; ++i) all[i] = i;
  const torch::NoGradGuard no_grad;
  const torch::Tensor distances = GroupDistances(model->Reconstruct(features_->Batch(all)));
  ASSERT_EQ(levels.size(), static_cast<size_t>(SmallConfig().groups));
  for (size_t g = 0; g < levels.size(); ++g) {
    EXPECT_NEAR(levels[g], distances[static_cast<int64_t>(g)].mean().item<double>(), 1e-5);
  }
}

}  // namespace
}  // namespace proad::model
