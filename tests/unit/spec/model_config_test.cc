#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "model/files/error.h"
#include "model/spec/config.h"
#include "model/spec/efficientnet_lite_layout.h"
#include "model/spec/preset.h"

namespace proad::model {
namespace {

using ::testing::HasSubstr;

TEST(Presets, AreThoseOfThePaper) {
  const ModelConfig base = PresetConfig("proad-base");
  EXPECT_EQ(base.encoder.width, 768);
  EXPECT_EQ(base.encoder.heads, 12);
  EXPECT_EQ(base.encoder.blocks, 10);
  EXPECT_EQ(base.encoder.taps, (std::vector<int>{2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(base.encoder.position_grid, 37);
  EXPECT_EQ(base.decoder_layers, 8);
  EXPECT_EQ(base.tokens(), 789);

  const ModelConfig small = PresetConfig("proad-small");
  EXPECT_EQ(small.encoder.width, 384);
  EXPECT_EQ(small.encoder.heads, 6);
  EXPECT_EQ(small.tokens(), 789);

  const ModelConfig large = PresetConfig("proad-large");
  EXPECT_EQ(large.encoder.width, 1024);
  EXPECT_EQ(large.encoder.heads, 16);
  EXPECT_EQ(large.encoder.blocks, 19);
  EXPECT_EQ(large.encoder.taps, (std::vector<int>{4, 6, 8, 10, 12, 14, 16, 18}));

  const ModelConfig tiny = PresetConfig("proad-tiny");
  EXPECT_EQ(tiny.encoder.width, 192);
  EXPECT_EQ(tiny.encoder.heads, 3);
  EXPECT_EQ(tiny.encoder.position_grid, 28);
  EXPECT_EQ(tiny.decoder_layers, 4);
  EXPECT_EQ(tiny.tokens(), 405);
}

TEST(Presets, ThePyramidHasPatchesOnly) {
  const ModelConfig pyramid = PresetConfig("proad-pyramid");
  EXPECT_EQ(pyramid.encoder.kind, EncoderKind::kPatchPyramid);
  EXPECT_EQ(pyramid.prefix_tokens(), 0);
  EXPECT_EQ(pyramid.tokens(), 28 * 28);
  EXPECT_EQ(ParseEncoderKind(NameOf(EncoderKind::kPatchPyramid)), EncoderKind::kPatchPyramid);
  EXPECT_THROW(ParseEncoderKind("resnet"), InvalidInput);

  ModelConfig two_taps = pyramid;
  two_taps.encoder.taps = {0, 1};
  two_taps.encoder.blocks = 2;
  EXPECT_THROW(Validate(two_taps), InvalidInput);
  ModelConfig one_patch = pyramid;
  one_patch.input_width = 14;
  EXPECT_THROW(Validate(one_patch), InvalidInput);
}

TEST(Presets, EfficientNetLiteHasPatchesOnly) {
  const ModelConfig lite = PresetConfig("proad-lite");
  EXPECT_EQ(lite.encoder.outputs(), 1);
  EXPECT_EQ(lite.tokens(), 28 * 28);
  const ModelConfig combined = PresetConfig("proad-combined");
  EXPECT_EQ(combined.encoder.outputs(), 3);
  EXPECT_EQ(combined.encoder.transformer_groups(), 2);
  EXPECT_EQ(combined.tokens(), 28 * 28) << "the other network has no class token";
}

TEST(Presets, EfficientNetLiteHasTheWidthsOfItsVariant) {
  const auto widths = [](int variant) {
    std::vector<int64_t> all;
    for (int stage = 0; stage < kLiteStages; ++stage) all.push_back(LiteStageWidth(variant, stage));
    return all;
  };
  EXPECT_EQ(widths(0), (std::vector<int64_t>{16, 24, 40, 80, 112, 192, 320}));
  EXPECT_EQ(widths(1), widths(0));
  EXPECT_EQ(widths(2), (std::vector<int64_t>{16, 24, 48, 88, 120, 208, 352}));
  EXPECT_EQ(LiteBlocks(0).size(), 16u);
  EXPECT_EQ(LiteBlocks(1).size(), 21u);
  EXPECT_EQ(LiteBlocks(2).size(), 21u);
}

TEST(Validate, NamesTheWrongOptionOfAnEncoderWithStages) {
  const auto field_of = [](const std::function<void(ModelConfig&)>& change) -> std::string {
    ModelConfig config = PresetConfig("proad-combined");
    change(config);
    try {
      Validate(config);
      return "";
    } catch (const InvalidInput& error) {
      return error.field();
    }
  };
  EXPECT_EQ(field_of([](ModelConfig&) {}), "");
  EXPECT_EQ(field_of([](ModelConfig& c) { c.encoder.lite.variant = 3; }), "encoder.lite.variant");
  EXPECT_EQ(field_of([](ModelConfig& c) { c.encoder.lite.stages = {}; }), "encoder.lite.stages");
  EXPECT_EQ(field_of([](ModelConfig& c) {
              c.encoder.lite.stages = {2, 2, 4};
            }),
            "encoder.lite.stages[1]");
  EXPECT_EQ(field_of([](ModelConfig& c) {
              c.encoder.lite.stages = {2, 7};
            }),
            "encoder.lite.stages[1]");
  EXPECT_EQ(field_of([](ModelConfig& c) { c.encoder.lite.groups = 2; }), "encoder.lite.groups");
  EXPECT_EQ(field_of([](ModelConfig& c) { c.encoder.lite.patch = 0; }), "encoder.lite.patch");
  EXPECT_EQ(field_of([](ModelConfig& c) { c.encoder.group_levels = {1}; }), "encoder.group_levels");
  EXPECT_EQ(field_of([](ModelConfig& c) { c.encoder.group_levels[1] = 0; }),
            "encoder.group_levels[1]");
  EXPECT_EQ(field_of([](ModelConfig& c) { c.encoder.group_centering[2] = 1.5; }),
            "encoder.group_centering[2]");
  EXPECT_EQ(field_of([](ModelConfig& c) { c.encoder.group_centering = {0}; }),
            "encoder.group_centering");
  EXPECT_EQ(field_of([](ModelConfig& c) { c.groups = 1; }), "groups");
  EXPECT_EQ(field_of([](ModelConfig& c) { c.distance.levels = {1, 1, 1}; }), "distance.levels");
  EXPECT_EQ(field_of([](ModelConfig& c) {
              c.distance = {DistanceCombination::kLargest, {1, 1}};
            }),
            "distance.levels");
  EXPECT_EQ(field_of([](ModelConfig& c) {
              c.distance = {DistanceCombination::kLargest, {1, 0, 1}};
            }),
            "distance.levels[1]");
  ModelConfig base = PresetConfig("proad-base");
  base.encoder.group_levels = {1, 1};
  EXPECT_THROW(Validate(base), InvalidInput);
}

TEST(ModelConfig, IsTheSameNetworkWhateverTheLevelsOfTheDistance) {
  ModelConfig config = PresetConfig("proad-combined");
  config.distance.combination = DistanceCombination::kLargest;
  ModelConfig measured = config;
  measured.distance.levels = {0.1, 0.2, 0.3};
  EXPECT_FALSE(config == measured);
  EXPECT_TRUE(config.SameNetwork(measured));
  measured.distance = {};
  EXPECT_FALSE(config.SameNetwork(measured));
}

TEST(Presets, AllAreValidWithTheirPreprocessing) {
  EXPECT_EQ(PresetNames().size(), 7u);
  for (const std::string& name : PresetNames()) {
    EXPECT_EQ(PresetConfig(name).preset, name);
    EXPECT_EQ(PresetConfig(name).encoder.position_resize, PositionResize::kOfficial);
    EXPECT_NO_THROW(Validate(PresetConfig(name), PresetPreprocessing(name))) << name;
  }
}

TEST(Presets, OurPresetsInspectTheWholeImage) {
  const Preprocessing tiny = PresetPreprocessing("proad-tiny");
  EXPECT_EQ(tiny.resize_width, 280);
  EXPECT_EQ(tiny.crop_width, 280);
  const Preprocessing pyramid = PresetPreprocessing("proad-pyramid");
  EXPECT_EQ(pyramid.resize_width, 392);
  EXPECT_EQ(pyramid.crop_width, 392);
  EXPECT_EQ(pyramid.std, (std::array<float, 3>{1, 1, 1}))
      << "the encoder subtracts SqueezeNet's own mean";
  const Preprocessing base = PresetPreprocessing("proad-base");
  EXPECT_EQ(base.resize_height, 448);
  EXPECT_EQ(base.crop_height, 392);
}

TEST(Presets, AnUnknownNameIsAnsweredWithTheKnownOnes) {
  try {
    PresetConfig("proad-huge");
    FAIL();
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.field(), "preset");
    EXPECT_EQ(error.reason(), "PRESET_UNKNOWN");
    EXPECT_THAT(error.what(), HasSubstr("proad-huge"));
    EXPECT_THAT(error.what(),
                HasSubstr("proad-pyramid, proad-tiny, proad-lite, proad-combined, proad-small, "
                          "proad-base, proad-large"));
  }
}

struct Impossible {
  const char* field;
  const char* says;
  std::function<void(ModelConfig&, Preprocessing&)> change;
};

class ValidateTest : public ::testing::TestWithParam<Impossible> {};

TEST_P(ValidateTest, NamesTheOptionAndItsAllowedValues) {
  ModelConfig config = PresetConfig("proad-base");
  Preprocessing preprocessing = PresetPreprocessing("proad-base");
  GetParam().change(config, preprocessing);
  try {
    Validate(config, preprocessing);
    FAIL() << GetParam().field;
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.field(), GetParam().field);
    EXPECT_EQ(error.reason(), "CONFIG_INVALID");
    EXPECT_THAT(error.what(), HasSubstr(GetParam().field));
    EXPECT_THAT(error.what(), HasSubstr(GetParam().says));
  }
}

#define CHANGE(statement) [](ModelConfig& c, Preprocessing& p) { (void)c, (void)p, statement; }

INSTANTIATE_TEST_SUITE_P(
    Options, ValidateTest,
    ::testing::Values(
        Impossible{"encoder.width", "is 769; it must be a multiple of encoder.heads, 12",
                   CHANGE(c.encoder.width = 769)},
        Impossible{"encoder.width", "is 0; it must be 1 to 8192", CHANGE(c.encoder.width = 0)},
        Impossible{"encoder.heads", "is 0", CHANGE(c.encoder.heads = 0)},
        Impossible{"encoder.patch", "is 0", CHANGE(c.encoder.patch = 0)},
        Impossible{"encoder.registers", "is -1", CHANGE(c.encoder.registers = -1)},
        Impossible{"encoder.position_grid", "is 0", CHANGE(c.encoder.position_grid = 0)},
        Impossible{"encoder.blocks", "is 12; it must be the last tap + 1, 10",
                   CHANGE(c.encoder.blocks = 12)},
        Impossible{"encoder.taps", "is empty", CHANGE(c.encoder.taps.clear())},
        Impossible{"encoder.taps[7]", "is 10; it must be 0 to 9", CHANGE(c.encoder.taps[7] = 10)},
        Impossible{"encoder.taps[1]", "taps must ascend", CHANGE(c.encoder.taps[1] = 2)},
        Impossible{"decoder_layers", "is 0", CHANGE(c.decoder_layers = 0)},
        Impossible{"groups", "is 0", CHANGE(c.groups = 0)},
        Impossible{"groups", "must divide the number of taps, 8, and decoder_layers, 8",
                   CHANGE(c.groups = 3)},
        Impossible{"groups", "decoder_layers, 6: at most 2",
                   CHANGE((c.groups = 4, c.decoder_layers = 6))},
        Impossible{"input_height", "is 400; it must be a multiple of encoder.patch, 14",
                   CHANGE(c.input_height = 400)},
        Impossible{"input_width", "is 9002; it must be 1 to 8192", CHANGE(c.input_width = 9002)},
        Impossible{"preprocessing.crop_height", "is 378; it must be config.input_height, 392",
                   CHANGE(p.crop_height = 378)},
        Impossible{"preprocessing.crop_width", "it must be at most preprocessing.resize_width, 380",
                   CHANGE(p.resize_width = 380)},
        Impossible{"preprocessing.resize_height", "is 0", CHANGE(p.resize_height = 0)},
        Impossible{"preprocessing.mean[1]", "finite",
                   CHANGE(p.mean[1] = std::numeric_limits<float>::infinity())},
        Impossible{"preprocessing.std[2]", "above 0", CHANGE(p.std[2] = 0)}));

TEST(Validate, AcceptsEveryValidNetwork) {
  ModelConfig config = PresetConfig("proad-base");
  config.groups = 1;
  EXPECT_NO_THROW(Validate(config));
  config.groups = 8;
  EXPECT_NO_THROW(Validate(config));
  config.input_height = 14;  // one patch, not square
  EXPECT_NO_THROW(Validate(config));
  config.encoder.taps = {9};
  config.groups = 1;
  config.decoder_layers = 3;
  EXPECT_NO_THROW(Validate(config));
}

}  // namespace
}  // namespace proad::model
