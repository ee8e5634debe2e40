// The network as the paper writes it: what it is made of, and that each part computes its equation.

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>

#include "model/files/error.h"
#include "model/network/prototype_bank.h"
#include "model/network/vision_transformer.h"
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
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string ErrorOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "(nothing was thrown)";
}

// ---------------------------------------------------------------- what it is made of

TEST(ProAdTest, BaseHasTheParametersOfTheCountedTable) {
  const ProAd model(PresetConfig("proad-base"));
  std::map<std::string, int64_t> counts;
  for (const auto& item : model->TrainableParameters()) {
    const std::string part = item.key().substr(0, item.key().find('.'));
    counts[part] += item.value().numel();
    if (part == "decoder") counts[item.key().substr(0, 9)] += item.value().numel();
    counts["trainable"] += item.value().numel();
  }
  EXPECT_EQ(counts["bottleneck"], 4'722'432);
  EXPECT_EQ(counts["decoder"], 56'702'976);
  for (int l = 0; l < 8; ++l) EXPECT_EQ(counts["decoder." + std::to_string(l)], 7'087'872);
  EXPECT_EQ(counts["prototypes"], 605'952);
  EXPECT_EQ(counts["trainable"], 62'031'360);

  int64_t encoder = 0;
  for (const torch::Tensor& parameter : model->encoder->parameters()) encoder += parameter.numel();
  // 10 of the 12 blocks of 7,089,408; patches, class token, positions and registers of DINOv2-R
  // ViT-B/14.
  EXPECT_EQ(encoder, 10 * 7'089'408 + 768 * (588 + 1) + 768 + 1370 * 768 + 4 * 768);
}

TEST(ProAdTest, ParameterNamesAreThoseOfTheCheckpoint) {
  ModelConfig config = SmallConfig();
  config.encoder.blocks = 1;
  config.encoder.taps = {0};
  config.decoder_layers = 1;
  config.groups = 1;
  const ProAd model(config);
  std::vector<std::string> trainable;
  for (const auto& item : model->TrainableParameters()) trainable.push_back(item.key());
  EXPECT_THAT(
      trainable,
      ::testing::UnorderedElementsAre(
          "prototypes", "bottleneck.fc1.weight", "bottleneck.fc1.bias", "bottleneck.fc2.weight",
          "bottleneck.fc2.bias", "decoder.0.norm1.weight", "decoder.0.norm1.bias",
          "decoder.0.norm2.weight", "decoder.0.norm2.bias", "decoder.0.attn.q.weight",
          "decoder.0.attn.q.bias", "decoder.0.attn.k.weight", "decoder.0.attn.k.bias",
          "decoder.0.attn.v.weight", "decoder.0.attn.v.bias", "decoder.0.attn.proj.weight",
          "decoder.0.attn.proj.bias", "decoder.0.ffn.fc1.weight", "decoder.0.ffn.fc1.bias",
          "decoder.0.ffn.fc2.weight", "decoder.0.ffn.fc2.bias"));
  std::vector<std::string> encoder;
  for (const auto& item : model->encoder->named_parameters()) encoder.push_back(item.key());
  EXPECT_THAT(encoder,
              ::testing::UnorderedElementsAre(
                  "cls_token", "pos_embed", "register_tokens", "patch_embed.proj.weight",
                  "patch_embed.proj.bias", "blocks.0.norm1.weight", "blocks.0.norm1.bias",
                  "blocks.0.attn.qkv.weight", "blocks.0.attn.qkv.bias", "blocks.0.attn.proj.weight",
                  "blocks.0.attn.proj.bias", "blocks.0.ls1.gamma", "blocks.0.norm2.weight",
                  "blocks.0.norm2.bias", "blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc1.bias",
                  "blocks.0.mlp.fc2.weight", "blocks.0.mlp.fc2.bias", "blocks.0.ls2.gamma"));
}

TEST(ProAdTest, InitialisesAsStated) {
  at::manual_seed(1);
  ModelConfig config = SmallConfig();
  config.encoder.width = 192;
  const ProAd model(config);
  for (const auto& item : model->TrainableParameters()) {
    const torch::Tensor& value = item.value();
    if (item.key() == "prototypes") {
      EXPECT_NEAR(value.mean().item<double>(), 0.0, 0.05);
      EXPECT_NEAR(value.std().item<double>(), 1.0, 0.05);
    } else if (item.key().find("norm") != std::string::npos) {
      EXPECT_EQ(value.min().item<float>(), item.key().ends_with("weight") ? 1.0f : 0.0f);
      EXPECT_EQ(value.max().item<float>(), item.key().ends_with("weight") ? 1.0f : 0.0f);
    } else if (item.key().ends_with("bias")) {
      EXPECT_EQ(value.abs().max().item<float>(), 0.0f) << item.key();
    } else {
      EXPECT_LE(value.abs().max().item<float>(), 0.03f) << item.key();
      EXPECT_GT(value.abs().max().item<float>(), 0.027f) << item.key();
      // A normal of 0.01 cut at three deviations has a deviation of 0.009866.
      EXPECT_NEAR(value.std().item<double>(), 0.009866, 0.0002) << item.key();
    }
  }
}

TEST(ProAdTest, RefusesAnInvalidConfiguration) {
  ModelConfig config = SmallConfig();
  config.groups = 3;
  EXPECT_THROW(ProAd{config}, InvalidInput);
}

// ---------------------------------------------------------------- shapes

TEST(ProAdTest, ShapeErrorsNameTheExpectedShape) {
  ProAd model = RandomModel(SmallConfig());
  EXPECT_THAT(ErrorOf([&] {
                model(torch::zeros({1, 3, 56, 56}));
              }),
              AllOf(HasSubstr("[B, 3, 56, 84]"), HasSubstr("[1, 3, 56, 56]")));
  EXPECT_THAT(ErrorOf([&] {
                model->encoder(torch::zeros({1, 3, 56, 85}));
              }),
              AllOf(HasSubstr("multiples of the patch, 14"), HasSubstr("56 x 85")));
  EXPECT_THAT(ErrorOf([&] {
                model->encoder(torch::zeros({3, 56, 84}));
              }),
              AllOf(HasSubstr("[B, 3, H, W]"), HasSubstr("[3, 56, 84]")));
  EXPECT_THAT(ErrorOf([&] {
                Normalize(torch::zeros({1, 3, 56, 84}), {});
              }),
              AllOf(HasSubstr("uint8 [B, H, W, 3]"), HasSubstr("[1, 3, 56, 84]")));
  EXPECT_THAT(ErrorOf([&] {
                model->Reconstruct({torch::zeros({1, 29, 64})});
              }),
              AllOf(HasSubstr("expected 2 groups"), HasSubstr("got 1")));
  const torch::Tensor other_size = torch::zeros({1, 30, 64});
  EXPECT_THAT(ErrorOf([&] {
                model->Reconstruct({other_size, other_size});
              }),
              AllOf(HasSubstr("[29, 64]"), HasSubstr("30 tokens"), HasSubstr("one input size")));
  EXPECT_THAT(ErrorOf([&] {
                GroupMeans({torch::zeros({1}), torch::zeros({1}), torch::zeros({1})}, 2);
              }),
              HasSubstr("3 layers cannot be divided into 2 equal groups"));
}

TEST(ProAdTest, NormalizesBytesChannelByChannel) {
  Preprocessing preprocessing;
  preprocessing.mean = {0.5f, 0.25f, 0.0f};
  preprocessing.std = {0.5f, 1.0f, 2.0f};
  torch::Tensor pixels = torch::zeros({1, 1, 2, 3}, torch::kUInt8);
  pixels[0][0][1].fill_(255);
  const torch::Tensor expected =
      torch::tensor({-1.0f, 1.0f, -0.25f, 0.75f, 0.0f, 0.5f}).view({1, 3, 1, 2});
  EXPECT_LE(MaxDifference(Normalize(pixels, preprocessing), expected), 1e-6);
}

// ---------------------------------------------------------------- positions, against cubic kernels
// in float64

double Cubic(double x, double a) {
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

// How one axis of `from` samples is resized to `to`. -> [to, from]
torch::Tensor CubicMatrix(int from, int to, PositionResize how) {
  torch::Tensor matrix = torch::zeros({to, from}, torch::kFloat64);
  const bool official = how == PositionResize::kOfficial;
  const double ratio = official ? static_cast<double>(from) / to : from / (to + 0.1);
  const double stretch = official ? std::max(ratio, 1.0) : 1.0;  // antialiasing widens the kernel
  for (int i = 0; i < to; ++i) {
    const double centre = (i + 0.5) * ratio - 0.5;
    for (int j = -8 * from; j < 9 * from; ++j) {
      const double weight = Cubic((j - centre) / stretch, official ? -0.5 : -0.75);
      // Antialiased: outside samples do not count. Otherwise the border repeats.
      if (official && (j < 0 || j >= from)) continue;
      matrix[i][std::clamp(j, 0, from - 1)] += weight;
    }
    matrix[i] /= matrix[i].sum();
  }
  return matrix;
}

TEST(PositionsTest, BothVariantsAreTheirCubicKernels) {
  at::manual_seed(5);
  constexpr int kGrid = 9, kHeight = 4, kWidth = 13;
  const torch::Tensor stored = torch::randn({1, 1 + kGrid * kGrid, 6});
  std::map<PositionResize, torch::Tensor> results;
  for (const PositionResize how : {PositionResize::kOfficial, PositionResize::kLineage}) {
    const torch::Tensor resized = InterpolatePositions(stored, kHeight, kWidth, how);
    ASSERT_EQ(resized.sizes(), (std::vector<int64_t>{1, 1 + kHeight * kWidth, 6}));
    EXPECT_TRUE(at::equal(resized.select(1, 0), stored.select(1, 0))) << "class slot";
    const torch::Tensor grid =
        stored.narrow(1, 1, kGrid * kGrid).view({kGrid, kGrid, 6}).to(torch::kFloat64);
    const torch::Tensor expected =
        at::einsum("ih,jw,hwc->ijc",
                   {CubicMatrix(kGrid, kHeight, how), CubicMatrix(kGrid, kWidth, how), grid});
    EXPECT_LE(
        MaxDifference(resized.narrow(1, 1, kHeight * kWidth).view({kHeight, kWidth, 6}), expected),
        1e-5);
    results[how] = resized;
  }
  EXPECT_GT(MaxDifference(results[PositionResize::kOfficial], results[PositionResize::kLineage]),
            0.01);
}

TEST(PositionsTest, KeepsAGridOfTheStoredSize) {
  const torch::Tensor stored = torch::randn({1, 1 + 16, 3});
  for (const PositionResize how : {PositionResize::kOfficial, PositionResize::kLineage}) {
    EXPECT_TRUE(at::equal(InterpolatePositions(stored, 4, 4, how), stored));
    // As many patches on a grid of another shape are other positions.
    EXPECT_GT(MaxDifference(InterpolatePositions(stored, 2, 8, how), stored), 0.1);
  }
}

TEST(PositionsTest, LineageKeepsTheSizeDespiteRounding) {
  const torch::Tensor stored = torch::randn({1, 1 + 37 * 37, 1});
  for (int n = 1; n <= 60; ++n) {
    EXPECT_EQ(InterpolatePositions(stored, n, 37, PositionResize::kLineage).size(1), 1 + n * 37);
  }
}

// ---------------------------------------------------------------- decoder

TEST(LinearCrossAttentionTest, IsTheSumOverAllPairs) {
  at::manual_seed(11);
  const torch::NoGradGuard no_grad;
  LinearCrossAttention attention(8, 2);
  for (torch::Tensor& parameter : attention->parameters()) parameter.normal_();
  const torch::Tensor a = torch::randn({2, 5, 8}), b = torch::randn({2, 7, 8});

  const auto project = [](const torch::nn::Linear& linear, const torch::Tensor& x) {
    return at::linear(x, linear->weight, linear->bias).to(torch::kFloat64);
  };
  const auto phi = [](const torch::Tensor& u) { return at::where(u > 0, u + 1, u.exp()); };
  const torch::Tensor q = phi(project(attention->q, a)), k = phi(project(attention->k, b));
  const torch::Tensor v = project(attention->v, b);
  torch::Tensor mixed = torch::zeros({2, 5, 8}, torch::kFloat64);
  for (int head = 0; head < 2; ++head) {
    const auto part = [head](const torch::Tensor& x) { return x.narrow(2, 4 * head, 4); };
    const torch::Tensor pairs = part(q).matmul(part(k).transpose(1, 2));
    mixed.narrow(2, 4 * head, 4).copy_(pairs.matmul(part(v)) / (pairs.sum(2, true) + 1e-6));
  }
  const torch::Tensor expected = project(attention->proj, mixed.to(torch::kFloat32));
  EXPECT_LE(RelativeDifference(attention(a, b), expected), 1e-5);
}

TEST(LinearCrossAttentionTest, MatchingNothingGivesTheBiasAlone) {
  const torch::NoGradGuard no_grad;
  LinearCrossAttention attention(8, 2);
  attention->q->bias.fill_(-200.0f);  // phi is exactly 0
  attention->k->bias.fill_(-200.0f);
  attention->proj->bias.fill_(0.5f);
  const torch::Tensor out = attention(torch::ones({1, 3, 8}), torch::ones({1, 4, 8}));
  EXPECT_TRUE(at::equal(out, at::full_like(out, 0.5)));
}

TEST(DecoderTest, WithTheConstraintAnImageTokenReachesTheOutputOnlyByItsResidualAndTheAttention) {
  const torch::NoGradGuard no_grad;
  at::manual_seed(2);
  DecoderLayer layer(DecoderLayerImpl::Options{16, 2});
  for (torch::Tensor& parameter : layer->parameters()) parameter.normal_(0.0, 0.3);
  layer->attn->proj->weight.zero_();  // cuts the attention off
  const torch::Tensor p = torch::randn({1, 5, 16}), q = torch::randn({1, 5, 16});
  const DecoderState first = layer->forward({p, q}), second = layer->forward({p, q * 3});
  EXPECT_TRUE(at::equal(first.prototypes, second.prototypes));
  EXPECT_LE(MaxDifference(first.image - q, second.image - q * 3), 1e-5);
}

// ---------------------------------------------------------------- the whole

class ProAdOnDevice : public OnEveryDevice {};
INSTANTIATE_TEST_SUITE_P(, ProAdOnDevice, ::testing::Values("cpu", "cuda"), DeviceName);

TEST_P(ProAdOnDevice, GroupsAreMeansOfTheLayersTheyHold) {
  ModelConfig config = SmallConfig();
  const torch::NoGradGuard no_grad;
  std::map<int, Reconstruction> results;
  for (const int groups : {1, 2, 8}) {
    config.groups = groups;
    ProAd model = RandomModel(config, device());
    results[groups] = model(Normalize(RandomPixels(config, 2).to(device()), {}));
    ASSERT_EQ(results[groups].encoder_groups.size(), static_cast<size_t>(groups));
    ASSERT_EQ(results[groups].decoder_groups.size(), static_cast<size_t>(groups));
    for (const auto& group : results[groups].decoder_groups) {
      EXPECT_EQ(group.sizes(), (std::vector<int64_t>{2, 4, 6, 64}));
    }
  }
  for (int g = 0; g < 2; ++g) {
    const auto mean = [g](const std::vector<torch::Tensor>& all) {
      return (all[4 * g] + all[4 * g + 1] + all[4 * g + 2] + all[4 * g + 3]) / 4;
    };
    EXPECT_LE(RelativeDifference(mean(results[8].encoder_groups), results[2].encoder_groups[g]),
              1e-5);
    EXPECT_LE(RelativeDifference(mean(results[8].decoder_groups), results[2].decoder_groups[g]),
              1e-4);
  }
}

TEST_P(ProAdOnDevice, DecoderOutputsStandLastLayerFirst) {
  ModelConfig config = SmallConfig();
  config.groups = 8;
  const torch::NoGradGuard no_grad;
  ProAd model = RandomModel(config, device());
  const torch::Tensor images = Normalize(RandomPixels(config, 1).to(device()), {});
  const Reconstruction before = model(images);
  model->decoder->at<DecoderLayerImpl>(7).attn->proj->bias.add_(1.0);
  const Reconstruction after = model(images);
  EXPECT_GT(MaxDifference(before.decoder_groups[0], after.decoder_groups[0]), 0.1);
  for (int g = 1; g < 8; ++g) {
    EXPECT_TRUE(at::equal(before.decoder_groups[g], after.decoder_groups[g])) << g;
  }
}

TEST_P(ProAdOnDevice, FourLayersRun) {
  ModelConfig config = SmallConfig();
  config.decoder_layers = 4;
  ProAd model = RandomModel(config, device());
  const Reconstruction result = model(Normalize(RandomPixels(config, 1).to(device()), {}));
  EXPECT_EQ(result.decoder_groups.size(), 2u);
  EXPECT_TRUE(result.decoder_groups[0].isfinite().all().item<bool>());
}

TEST_P(ProAdOnDevice, EverySwitchOfTheAblationChangesTheResult) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor images = Normalize(RandomPixels(SmallConfig(), 1).to(device()), {});
  std::vector<torch::Tensor> outputs;
  for (int switches = 0; switches < 8; ++switches) {
    ModelConfig config = SmallConfig();
    config.adaptive_noisy_bottleneck = (switches & 1) != 0;
    config.dynamic_decoder = (switches & 2) != 0;
    config.prototype_constraint = (switches & 4) != 0;
    ProAd model = RandomModel(config, device());
    // The same weights for all: what a switch removes does not shift the others' random numbers.
    ProAd whole = RandomModel(SmallConfig(), device());
    auto target = model->named_parameters();
    for (const auto& item : whole->named_parameters()) {
      if (torch::Tensor* own = target.find(item.key())) own->copy_(item.value());
    }
    outputs.push_back(model(images).decoder_groups[0]);
    EXPECT_TRUE(outputs.back().isfinite().all().item<bool>());
    for (size_t i = 0; i + 1 < outputs.size(); ++i) {
      EXPECT_GT(RelativeDifference(outputs.back(), outputs[i]), 1e-3) << i << " and " << switches;
    }
  }
}

TEST_P(ProAdOnDevice, ClassAndRegisterTokensGoThroughTheDecoder) {
  const torch::NoGradGuard no_grad;
  ProAd model = RandomModel(SmallConfig(), device());
  const torch::Tensor images = Normalize(RandomPixels(SmallConfig(), 1).to(device()), {});
  const Reconstruction before = model(images);
  model->prototypes.narrow(0, 0, 5).add_(2.0);
  const Reconstruction after = model(images);
  EXPECT_GT(MaxDifference(before.decoder_groups[0], after.decoder_groups[0]), 1e-3);
  EXPECT_EQ(after.decoder_groups[0].sizes(), (std::vector<int64_t>{1, 4, 6, 64}));
}

TEST_P(ProAdOnDevice, DropoutActsInTrainingOnImageTokensOnly) {
  const torch::NoGradGuard no_grad;
  ProAd model = RandomModel(SmallConfig(), device());
  const torch::Tensor images = Normalize(RandomPixels(SmallConfig(), 1).to(device()), {});
  const auto output = [&] { return model(images).decoder_groups[0]; };
  const torch::Tensor still = output();
  model->set_dropout(0.5);
  EXPECT_TRUE(at::equal(output(), still)) << "in evaluation";
  const torch::Tensor prototypes = model->bottleneck->Prototypes(model->prototypes.unsqueeze(0));
  model->train();
  EXPECT_FALSE(at::equal(output(), output()));
  EXPECT_TRUE(at::equal(model->bottleneck->Prototypes(model->prototypes.unsqueeze(0)), prototypes));
  const torch::Tensor dropped = model->bottleneck->Image(torch::randn({1, 29, 64}, device()));
  EXPECT_NEAR((dropped == 0).to(torch::kFloat32).mean().item<double>(), 0.5, 0.1);
  EXPECT_THAT(ErrorOf([&] { model->set_dropout(1.0); }), HasSubstr("below 1"));
}

TEST_P(ProAdOnDevice, GradientsReachEverythingTrainableAndNothingElse) {
  ProAd model = RandomModel(SmallConfig(), device());
  const Reconstruction result = model(Normalize(RandomPixels(SmallConfig(), 2).to(device()), {}));
  (result.decoder_groups[0].square().sum() + result.decoder_groups[1].sum()).backward();
  for (const auto& item : model->TrainableParameters()) {
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
    EXPECT_GT(item.value().grad().abs().max().item<double>(), 0.0) << item.key();
  }
  for (const torch::Tensor& parameter : model->encoder->parameters()) {
    EXPECT_FALSE(parameter.requires_grad());
  }
  EXPECT_FALSE(result.encoder_groups[0].requires_grad());
}

}  // namespace
}  // namespace proad::model
