#include "server/rpc/model_card.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace proad::server
