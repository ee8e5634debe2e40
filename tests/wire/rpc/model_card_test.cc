#include "server/rpc/model_card.h"

#include <gtest/gtest.h>

#include "model/spec/preset.h"

namespace proad::server {
namespace {

// Table 1 of the paper.
TEST(ModelCard, CountsTheTrainableParametersOfThePaper) {
  model::ModelConfig config = model::PresetConfig("proad-base");
  EXPECT_EQ(TrainableParameters(config), 62'031'360);
  config.adaptive_noisy_bottleneck = false;
  EXPECT_EQ(TrainableParameters(config), 62'031'360 - 4'722'432);
  config.decoder_layers = 0;
  EXPECT_EQ(TrainableParameters(config), 605'952);
}

TEST(ModelCard, TellsHowGoodItIsAndHowItWasTrained) {
  ListedVersion listed;
  listed.name = "pcb";
  listed.version = "1";
  listed.manifest.emplace();
  listed.manifest->metrics = {
      {"image_auroc", 0.75}, {"image_auroc/brick", 0.5}, {"image_auroc/a/b", 1.0}};
  listed.manifest->training.emplace();
  listed.manifest->training->recipe.name = "quick";
  listed.manifest->training->recipe.seed = 7;
  listed.manifest->training->steps = 200;
  listed.manifest->training->images = 216;
  v1::ModelCard card;
  FillModelCard(listed, card);
  EXPECT_EQ(card.training().recipe(), "quick");
  EXPECT_EQ(card.training().seed(), 7u);
  EXPECT_EQ(card.training().steps(), 200u);
  EXPECT_EQ(card.training().images(), 216u);
  ASSERT_EQ(card.metrics_size(), 3);
  EXPECT_EQ(card.metrics(0).name(), "image_auroc");
  EXPECT_EQ(card.metrics(0).category(), "");
  EXPECT_EQ(card.metrics(0).value(), 0.75);
  EXPECT_EQ(card.metrics(1).name(), "image_auroc");
  EXPECT_EQ(card.metrics(1).category(), "a/b");
  EXPECT_EQ(card.metrics(1).value(), 1.0);
  EXPECT_EQ(card.metrics(2).category(), "brick");
}

}  // namespace
}  // namespace proad::server
