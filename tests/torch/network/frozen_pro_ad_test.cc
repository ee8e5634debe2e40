// The frozen network gives what the network as written gives, whatever runs beside it.

#include "model/network/frozen_pro_ad.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "model/spec/preset.h"
#include "tests/torch/random_model.h"

namespace proad::model {
namespace {

using ::proad::model::testing::DeviceName;
using ::proad::model::testing::MaxDifference;
using ::proad::model::testing::OnEveryDevice;
using ::proad::model::testing::RandomModel;
using ::proad::model::testing::RandomPixels;
using ::proad::model::testing::RelativeDifference;
using ::proad::model::testing::SmallConfig;

constexpr double kScoreTolerance = 1e-5;
constexpr double kMapTolerance = 1e-4;

// Forward of the network as written, map and score. pixels: uint8 [B, H, W, 3]
Scored AsWritten(ProAd& model, const torch::Tensor& pixels, const Preprocessing& preprocessing) {
  const torch::NoGradGuard no_grad;
  const torch::Device device = model->prototypes.device();
  const AnomalyMap map(model->config(), device);
  const torch::Tensor maps = map(model(Normalize(pixels.to(device), preprocessing)));
  return {ImageScore(maps), maps};
}

void ExpectSame(const ModelConfig& config, torch::Device device) {
  ProAd model = RandomModel(config, device);
  Preprocessing preprocessing;
  preprocessing.mean = {0.4f, 0.5f, 0.6f};
  preprocessing.std = {0.2f, 0.25f, 0.3f};
  const torch::Tensor pixels = RandomPixels(config, 3);
  const Scored expected = AsWritten(model, pixels, preprocessing);
  const Scored actual = FrozenProAd(model, preprocessing).Detect(pixels);
  EXPECT_LE(MaxDifference(actual.scores, expected.scores), kScoreTolerance);
  EXPECT_LE(RelativeDifference(actual.maps, expected.maps), kMapTolerance);
  // Random weights must leave something to compare: a map of nothing but ones would pass anything.
  EXPECT_GT(expected.maps.std().item<double>(), 1e-3);
}

class FrozenOnDevice : public OnEveryDevice {};
INSTANTIATE_TEST_SUITE_P(, FrozenOnDevice, ::testing::Values("cpu", "cuda"), DeviceName);

TEST_P(FrozenOnDevice, EqualsTheNetworkForEveryGrouping) {
  for (const int groups : {1, 2, 8}) {
    SCOPED_TRACE(groups);
    ModelConfig config = SmallConfig();
    config.groups = groups;
    ExpectSame(config, device());
  }
}

TEST_P(FrozenOnDevice, EqualsTheNetworkForEveryAblation) {
  for (int switches = 0; switches < 8; ++switches) {
    SCOPED_TRACE(switches);
    ModelConfig config = SmallConfig();
    config.adaptive_noisy_bottleneck = (switches & 1) != 0;
    config.dynamic_decoder = (switches & 2) != 0;
    config.prototype_constraint = (switches & 4) != 0;
    ExpectSame(config, device());
  }
}

TEST_P(FrozenOnDevice, EqualsTheNetworkForOtherShapes) {
  ModelConfig few_layers = SmallConfig();
  few_layers.decoder_layers = 2;
  few_layers.encoder.taps = {0, 8};
  ExpectSame(few_layers, device());

  ModelConfig lineage = SmallConfig();
  lineage.encoder.position_resize = PositionResize::kLineage;
  ExpectSame(lineage, device());

  ModelConfig no_registers = SmallConfig();
  no_registers.encoder.registers = 0;
  ExpectSame(no_registers, device());

  ModelConfig stored_grid = SmallConfig();
  stored_grid.input_height = stored_grid.input_width = 70;
  ExpectSame(stored_grid, device());
}

TEST_P(FrozenOnDevice, EqualsTheNetworkForShippedPresets) {
  ExpectSame(PresetConfig("proad-tiny"), device());
  ExpectSame(PresetConfig("proad-pyramid"), device());
}

TEST_P(FrozenOnDevice, EqualsTheNetworkForEfficientNetLite) {
  ModelConfig alone = PresetConfig("proad-lite");
  alone.input_height = 80;  // odd sides of the maps
  alone.input_width = 112;
  ExpectSame(alone, device());

  ModelConfig combined = PresetConfig("proad-combined");
  combined.input_height = 84;
  combined.input_width = 126;
  combined.encoder.group_levels = {1, 2, 0.5};
  combined.encoder.group_centering = {0, 0.5, 1};
  ExpectSame(combined, device());

  ModelConfig each_stage = combined;
  each_stage.encoder.lite = {.variant = 0, .stages = {1, 4}, .groups = 2, .patch = 8};
  each_stage.encoder.group_levels = {1, 1, 1};
  each_stage.distance = {DistanceCombination::kLargest, {0.1, 0.2, 0.4}};
  ExpectSame(each_stage, device());
}

TEST_P(FrozenOnDevice, EqualsTheNetworkForANonSquarePyramid) {
  ModelConfig config = PresetConfig("proad-pyramid");
  config.input_height = 84;
  config.input_width = 126;
  ExpectSame(config, device());
}

TEST_P(FrozenOnDevice, CopiesTheWeights) {
  ProAd model = RandomModel(SmallConfig(), device());
  const torch::Tensor pixels = RandomPixels(SmallConfig(), 2);
  const FrozenProAd frozen(model, {});
  const Scored before = frozen.Detect(pixels);
  {
    const torch::NoGradGuard no_grad;
    for (torch::Tensor& parameter : model->parameters()) parameter.zero_();
  }
  const Scored after = frozen.Detect(pixels);
  EXPECT_TRUE(at::equal(before.scores, after.scores));
  EXPECT_TRUE(at::equal(before.maps, after.maps));
}

TEST_P(FrozenOnDevice, ScoreDoesNotDependOnTheBatch) {
  ProAd model = RandomModel(SmallConfig(), device());
  const FrozenProAd frozen(model, {});
  torch::Tensor pixels = RandomPixels(SmallConfig(), 5);
  pixels[1].fill_(0);
  pixels[3].fill_(255);
  const Scored together = frozen.Detect(pixels);
  const Scored written = AsWritten(model, pixels, {});
  for (int i = 0; i < 5; ++i) {
    const Scored alone = frozen.Detect(pixels.narrow(0, i, 1));
    EXPECT_LE(MaxDifference(alone.scores[0], together.scores[i]), kScoreTolerance) << i;
    EXPECT_LE(MaxDifference(alone.maps[0], together.maps[i]), kScoreTolerance) << i;
    const Scored alone_written = AsWritten(model, pixels.narrow(0, i, 1), {});
    EXPECT_LE(MaxDifference(alone_written.scores[0], written.scores[i]), kScoreTolerance) << i;
  }
}

TEST(FrozenProAdTest, ScoreDoesNotDependOnTheNumberOfThreads) {
  const ModelConfig config = PresetConfig("proad-tiny");
  ProAd model = RandomModel(config);
  const FrozenProAd frozen(model, {});
  const torch::Tensor pixels = RandomPixels(config, 2);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Scored one = frozen.Detect(pixels);
  for (const int n : {2, 3, 4}) {
    at::set_num_threads(n);
    const Scored several = frozen.Detect(pixels);
    EXPECT_LE(MaxDifference(one.scores, several.scores), kScoreTolerance) << n << " threads";
  }
  at::set_num_threads(threads);
}

TEST(FrozenProAdTest, SeveralThreadsCanUseIt) {
  const ModelConfig config = SmallConfig();
  const FrozenProAd frozen(RandomModel(config), {});
  const torch::Tensor pixels = RandomPixels(config, 4);
  const torch::Tensor expected = frozen.Detect(pixels).scores;
  std::vector<torch::Tensor> scores(4);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 5; ++round) {
        scores[i] = frozen.Detect(pixels.narrow(0, i, 1)).scores;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 4; ++i) {
    EXPECT_LE(MaxDifference(scores[i][0], expected[i]), kScoreTolerance) << i;
  }
}

TEST_P(FrozenOnDevice, FlatImagesAndZeroDenominatorsGiveFiniteScores) {
  const ModelConfig config = SmallConfig();
  ProAd model = RandomModel(config, device());
  {
    const torch::NoGradGuard no_grad;
    for (int l = 0; l < config.decoder_layers; ++l) {
      auto& attention = *model->decoder->at<DecoderLayerImpl>(l).attn;
      attention.q->bias.fill_(-200.0f);  // phi of every query and key is 0
      attention.k->bias.fill_(-200.0f);
    }
    model->prototypes.zero_();
  }
  for (const int value : {0, 128, 255}) {
    const torch::Tensor pixels = at::full_like(RandomPixels(config, 1), value);
    const Scored scored = FrozenProAd(model, {}).Detect(pixels);
    EXPECT_TRUE(scored.maps.isfinite().all().item<bool>()) << value;
    EXPECT_TRUE(scored.scores.isfinite().all().item<bool>()) << value;
    EXPECT_LE(MaxDifference(scored.scores, AsWritten(model, pixels, {}).scores), kScoreTolerance);
  }
}

TEST(FrozenProAdTest, ShapeErrorsNameTheExpectedShape) {
  const FrozenProAd frozen(RandomModel(SmallConfig()), {});
  const auto error = [&](const torch::Tensor& pixels) {
    try {
      frozen.Forward(pixels);
    } catch (const c10::Error& caught) {
      return std::string(caught.what_without_backtrace());
    }
    return std::string("(nothing was thrown)");
  };
  EXPECT_THAT(error(torch::zeros({1, 84, 56, 3}, torch::kUInt8)),
              ::testing::AllOf(::testing::HasSubstr("uint8 [B, 56, 84, 3]"),
                               ::testing::HasSubstr("[1, 84, 56, 3]")));
  EXPECT_THAT(error(torch::zeros({1, 56, 84, 3})), ::testing::HasSubstr("Float"));
}

}  // namespace
}  // namespace proad::model
