#include "model/spec/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <limits>
#include <set>
#include <string>

#include "model/files/error.h"
#include "model/spec/preset.h"
#include "tests/support/paths.h"

namespace proad::model {
namespace {

using ::testing::Contains;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

std::string Refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Recipe, EveryFileOfTheFolderIsARecipe) {
  std::set<std::string> files;
  for (const auto& file :
       std::filesystem::directory_iterator(proad::testing::SourceFolder() / "model/recipes")) {
    files.insert(file.path().stem().string());
  }
  EXPECT_THAT(RecipeNames(), ElementsAreArray(files)) << "sorted";
  EXPECT_THAT(files, Contains("quick")) << "the default of jobs";
  for (const std::string& name : RecipeNames()) EXPECT_EQ(FindRecipe(name).name, name);
}

TEST(Recipe, PaperRecipesMatchSection41) {
  const std::pair<const char*, double> dropouts[] = {
      {"paper-mvtec", 0.2}, {"paper-visa", 0.3}, {"paper-realiad", 0.4}};
  for (const auto& [name, dropout] : dropouts) {
    const Recipe recipe = FindRecipe(name);
    EXPECT_EQ(recipe.epochs, 200) << name;
    EXPECT_EQ(recipe.warmup_epochs, 10) << name;
    EXPECT_EQ(recipe.batch_size, 16) << name;
    EXPECT_EQ(recipe.learning_rate, 1e-4) << name;
    EXPECT_EQ(recipe.final_ratio, 0.1) << name;
    EXPECT_EQ(recipe.weight_decay, 1e-5) << name;
    EXPECT_EQ(recipe.dropout, dropout) << name;
    EXPECT_EQ(recipe.gradient_clip, 0.1) << name;
    EXPECT_EQ(recipe.tau, 3) << name;
    const Network network = NetworkOf("proad-base", recipe);
    EXPECT_EQ(network.config.input_height, 392) << name;
    EXPECT_EQ(network.preprocessing.resize_height, 448) << name;
    EXPECT_EQ(network.config.encoder.position_resize, PositionResize::kLineage) << name;
    EXPECT_TRUE(network.config.adaptive_noisy_bottleneck && network.config.dynamic_decoder &&
                network.config.prototype_constraint);
  }
  EXPECT_EQ(FindRecipe("lineage").learning_rate, 1e-3);
  EXPECT_EQ(FindRecipe("lineage").weight_decay, 1e-4);
  EXPECT_EQ(FindRecipe("lineage").warmup_steps, 100);
}

TEST(Recipe, AnUnknownNameListsTheKnownOnes) {
  EXPECT_THAT(
      Refusal([] { FindRecipe("papier"); }),
      ::testing::AllOf(HasSubstr("\"papier\""), HasSubstr("paper-mvtec, "), HasSubstr("quick")));
}

TEST(Recipe, FilesAreReadStrictly) {
  const auto read = [](const char* yaml) {
    return Refusal([yaml] { ParseRecipe(yaml, "mine", "mine.yaml"); });
  };
  EXPECT_EQ(read("epochs: 3\nprecision: bf16\ncenter_crop: false\ninput_side: 56"), "accepted");
  EXPECT_THAT(read("epochs: 3\nlearning_speed: 1"),
              ::testing::AllOf(HasSubstr("mine.yaml:2"), HasSubstr("learning_speed")));
  EXPECT_THAT(read("epochs: 3\nseed: 1\nepochs: 4"),
              ::testing::AllOf(HasSubstr("mine.yaml:3"), HasSubstr("twice")));
  EXPECT_THAT(read("epochs: many"),
              ::testing::AllOf(HasSubstr("mine.yaml:1"), HasSubstr("epochs")));
  EXPECT_THAT(read("epochs: 3\nprecision: fp8"),
              ::testing::AllOf(HasSubstr("mine.yaml:2"), HasSubstr("fp32, tf32, bf16")));
  EXPECT_THAT(read("- epochs"), HasSubstr("mine.yaml:1"));
  EXPECT_THAT(read("epochs: [1"), HasSubstr("not YAML"));
}

TEST(Recipe, NamesValuesOutOfRange) {
  const auto refusal = [](const std::function<void(Recipe&)>& change) {
    Recipe recipe = FindRecipe("quick");
    change(recipe);
    try {
      Validate(recipe);
    } catch (const InvalidInput& error) {
      EXPECT_THAT(error.what(), HasSubstr(error.field()));
      return error.field();
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refusal([](Recipe&) {}), "accepted");
  EXPECT_EQ(refusal([](Recipe& r) { r.steps = 0; }), "overrides.epochs");
  EXPECT_EQ(refusal([](Recipe& r) { r.epochs = 5; }), "overrides.epochs");
  EXPECT_EQ(refusal([](Recipe& r) { r.steps = 0, r.epochs = 100'001; }), "overrides.epochs");
  EXPECT_EQ(refusal([](Recipe& r) { r.batch_size = 0; }), "overrides.batch_size");
  EXPECT_EQ(refusal([](Recipe& r) { r.batch_size = 4097; }), "overrides.batch_size");
  EXPECT_EQ(refusal([](Recipe& r) { r.learning_rate = 0; }), "overrides.learning_rate");
  EXPECT_EQ(refusal([](Recipe& r) { r.learning_rate = 1.5; }), "overrides.learning_rate");
  EXPECT_EQ(refusal([](Recipe& r) { r.learning_rate = std::numeric_limits<double>::quiet_NaN(); }),
            "overrides.learning_rate");
  EXPECT_EQ(refusal([](Recipe& r) { r.weight_decay = -1; }), "overrides.weight_decay");
  EXPECT_EQ(refusal([](Recipe& r) { r.dropout = 1; }), "overrides.dropout");
  EXPECT_EQ(refusal([](Recipe& r) { r.warmup_steps = -1; }), "overrides.warmup_steps");
  EXPECT_EQ(refusal([](Recipe& r) { r.warmup_epochs = 2; }), "overrides.warmup_steps");
  EXPECT_EQ(refusal([](Recipe& r) { r.decoder_layers = 25; }), "overrides.decoder_layers");
  EXPECT_EQ(refusal([](Recipe& r) { r.input_side = 14; }), "overrides.input_side");
}

TEST(Recipe, OverridesChangeTheNetwork) {
  Recipe recipe = FindRecipe("quick");
  EXPECT_EQ(NetworkOf("proad-tiny", recipe).config, PresetConfig("proad-tiny"));
  EXPECT_EQ(NetworkOf("proad-tiny", recipe).preprocessing, PresetPreprocessing("proad-tiny"));

  recipe.input_side = 196;
  recipe.decoder_layers = 2;
  recipe.dynamic_decoder = false;
  Network network = NetworkOf("proad-tiny", recipe);
  EXPECT_EQ(network.config.input_width, 196);
  EXPECT_EQ(network.preprocessing.resize_width, 196) << "tiny inspects the whole image";
  EXPECT_EQ(network.config.decoder_layers, 2);
  EXPECT_FALSE(network.config.dynamic_decoder);

  recipe.center_crop = true;
  network = NetworkOf("proad-tiny", recipe);
  EXPECT_EQ(network.preprocessing.crop_width, 196);
  EXPECT_EQ(network.preprocessing.resize_width, 224) << "196 / 392 * 448";

  recipe.input_side = 100;
  EXPECT_THAT(Refusal([&] { NetworkOf("proad-tiny", recipe); }),
              ::testing::AllOf(HasSubstr("overrides.input_side"), HasSubstr("14")));
  recipe.input_side = 196;
  recipe.decoder_layers = 3;
  EXPECT_THAT(Refusal([&] { NetworkOf("proad-tiny", recipe); }),
              HasSubstr("overrides.decoder_layers"));
}

TEST(Recipe, ReplacesSingleValues) {
  Recipe recipe = FindRecipe("quick");
  Override(recipe, "epochs", "3");
  Override(recipe, "warmup_epochs", "1");
  Override(recipe, "learning_rate", "2e-4");
  Override(recipe, "precision", "bf16");
  Override(recipe, "center_crop", "true");
  Validate(recipe);
  EXPECT_EQ(recipe.epochs, 3);
  EXPECT_EQ(recipe.warmup_steps, 0);
  EXPECT_EQ(recipe.learning_rate, 2e-4);
  EXPECT_EQ(recipe.precision, Precision::kBf16);
  EXPECT_EQ(recipe.center_crop, true);
  Override(recipe, "steps", "7");
  EXPECT_EQ(recipe.epochs, 0) << "one length replaces the other";
  EXPECT_THAT(Refusal([&] { Override(recipe, "epoch", "3"); }), HasSubstr("epoch"));
  EXPECT_THAT(Refusal([&] { Override(recipe, "steps", "many"); }),
              ::testing::AllOf(HasSubstr("overrides.steps"), HasSubstr("many")));
}

TEST(Recipe, LengthCountsWholeBatches) {
  Recipe recipe = FindRecipe("paper-mvtec");
  Length length = LengthOf(recipe, 3629);  // MVTec-AD's training pictures
  EXPECT_EQ(length.steps_per_epoch, 226);
  EXPECT_EQ(length.steps, 45'200);
  EXPECT_EQ(length.warmup_steps, 2'260);

  recipe = FindRecipe("quick");
  length = LengthOf(recipe, 40);
  EXPECT_EQ(length.steps_per_epoch, 5);
  EXPECT_EQ(length.steps, 300);
  EXPECT_EQ(length.epochs, 60);
  EXPECT_EQ(length.warmup_steps, 20);

  recipe.steps = 0;
  recipe.epochs = 3;
  EXPECT_EQ(LengthOf(recipe, 40).warmup_steps, 7) << "half of fifteen steps";
  EXPECT_THAT(Refusal([&] { LengthOf(recipe, 7); }),
              ::testing::AllOf(HasSubstr("batch_size"), HasSubstr("7")));
}

}  // namespace
}  // namespace proad::model
