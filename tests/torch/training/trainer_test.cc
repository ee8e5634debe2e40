#include "model/training/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "model/files/error.h"
#include "model/training/training_state.h"
#include "tests/support/dataset_files.h"
#include "tests/torch/random_model.h"

namespace proad::model {
namespace {

using proad::testing::SmallBmp;
using proad::testing::TempDirectory;
using proad::testing::WriteFile;
using ::testing::HasSubstr;
using testing::RandomModel;
using testing::SmallConfig;

using Weights = std::vector<std::string>;  // bytes, by name

Preprocessing SmallPreprocessing() {
  Preprocessing preprocessing;
  preprocessing.resize_height = preprocessing.crop_height = SmallConfig().input_height;
  preprocessing.resize_width = preprocessing.crop_width = SmallConfig().input_width;
  return preprocessing;
}

Recipe SmallRecipe() {
  Recipe recipe;
  recipe.steps = 12;
  recipe.batch_size = 4;
  recipe.warmup_steps = 3;
  recipe.learning_rate = 1e-2;
  recipe.seed = 5;
  return recipe;
}

// Ten images of one grey level each, a network and its trainer.
class TrainerTest : public ::testing::Test {
 protected:
  static constexpr int kImages = 10;

  TrainerTest() {
    for (int i = 0; i < kImages; ++i) {
      const std::string name = std::to_string(i) + ".bmp";
      WriteFile(directory_.path(), name, SmallBmp(static_cast<uint8_t>(20 * i + 10), 90, 60));
      samples_.push_back(Sample{.path = directory_ / name, .name = name, .category = "grey"});
    }
  }

  struct Training {
    ProAd model{nullptr};
    std::unique_ptr<FeatureCache> features;
    std::unique_ptr<Trainer> trainer;
  };

  Training Begin(const FeatureCache::Options& options, const Recipe& recipe = SmallRecipe()) const {
    Training training{RandomModel(SmallConfig()), nullptr, nullptr};
    training.features =
        std::make_unique<FeatureCache>(training.model, SmallPreprocessing(), "encoder", options);
    for (const Sample& sample : samples_) training.features->Add(sample);
    training.trainer = std::make_unique<Trainer>(training.model, recipe, *training.features);
    return training;
  }
  Training Begin(const Recipe& recipe = SmallRecipe()) const {
    return Begin(FeatureCache::Options{}, recipe);
  }

  static std::vector<double> Losses(Trainer& trainer, int steps) {
    std::vector<double> losses;
    for (int i = 0; i < steps; ++i) losses.push_back(trainer.Step().loss);
    return losses;
  }

  static Weights Bytes(const ProAd& model) {
    Weights bytes;
    for (const auto& parameter : model->TrainableParameters()) {
      const torch::Tensor value = parameter.value().detach().contiguous();
      bytes.emplace_back(static_cast<const char*>(value.const_data_ptr()), value.nbytes());
    }
    return bytes;
  }

  TempDirectory directory_;
  std::vector<Sample> samples_;
};

TEST_F(TrainerTest, LearnsToReconstructTheImages) {
  Recipe recipe = SmallRecipe();
  recipe.steps = 40;
  Training training = Begin(recipe);
  const std::vector<double> losses = Losses(*training.trainer, 40);
  EXPECT_LT(losses.back(), losses.front() / 2);
}

TEST_F(TrainerTest, EqualSeedsGiveEqualBytes) {
  Training first = Begin();
  Training second = Begin();
  EXPECT_EQ(Losses(*first.trainer, 12), Losses(*second.trainer, 12));
  EXPECT_EQ(Bytes(first.model), Bytes(second.model));

  Recipe other = SmallRecipe();
  other.seed = 6;
  Training third = Begin(other);
  Losses(*third.trainer, 12);
  EXPECT_NE(Bytes(first.model), Bytes(third.model));
}

TEST_F(TrainerTest, ContinuesFromEveryStepToTheSameBytes) {
  Training undisturbed = Begin();
  const std::vector<double> losses = Losses(*undisturbed.trainer, 12);
  for (const int stop : {1, 2, 5, 11}) {
    Training before = Begin();
    Losses(*before.trainer, stop);
    SaveTraining(directory_ / "run", *before.trainer, {stop, 0, "data"});

    Training after = Begin();
    ASSERT_EQ(RestoreTraining(directory_ / "run", *after.trainer),
              (TrainingPosition{stop, 0, "data"}));
    EXPECT_EQ(after.trainer->step(), stop);
    EXPECT_EQ(Losses(*after.trainer, 12 - stop),
              std::vector<double>(losses.begin() + stop, losses.end()))
        << "from step " << stop;
    EXPECT_EQ(Bytes(after.model), Bytes(undisturbed.model)) << "from step " << stop;
  }
}

TEST_F(TrainerTest, CacheDoesNotChangeTheResult) {
  Training in_memory = Begin();
  Training on_disk = Begin({.memory_bytes = 0, .directory = directory_ / "features"});
  Training without = Begin({.keep = false});
  const std::vector<double> losses = Losses(*in_memory.trainer, 12);
  EXPECT_EQ(Losses(*on_disk.trainer, 12), losses);
  EXPECT_EQ(Losses(*without.trainer, 12), losses);
  EXPECT_EQ(Bytes(on_disk.model), Bytes(in_memory.model));
  EXPECT_EQ(Bytes(without.model), Bytes(in_memory.model));
}

TEST_F(TrainerTest, FindsFeaturesOnDiskByContent) {
  const FeatureCache::Options options{.memory_bytes = 0, .directory = directory_ / "features"};
  const std::vector<double> losses = Losses(*Begin(options).trainer, 4);
  for (Sample& sample : samples_) {
    std::filesystem::rename(sample.path, sample.path.string() + ".moved.bmp");
    sample.path += ".moved.bmp";
  }
  EXPECT_EQ(Losses(*Begin(options).trainer, 4), losses);
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_ / "features")) {
    files += entry.is_regular_file() ? 1 : 0;
  }
  EXPECT_EQ(files, kImages);
}

TEST_F(TrainerTest, NamesAnUnreadableImage) {
  WriteFile(directory_.path(), "broken one.bmp", "BM this is no image");
  samples_.push_back(Sample{.path = directory_ / "broken one.bmp"});
  try {
    Begin();
    FAIL() << "accepted";
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.reason(), "UNREADABLE_IMAGE");
    EXPECT_THAT(error.what(), HasSubstr("broken one.bmp"));
  }
}

TEST_F(TrainerTest, NonFiniteLossNamesStepAndLearningRate) {
  Training training = Begin();
  Losses(*training.trainer, 3);
  {
    const torch::NoGradGuard no_grad;
    training.model->prototypes.fill_(std::numeric_limits<float>::quiet_NaN());
  }
  try {
    training.trainer->Step();
    FAIL() << "went on";
  } catch (const NonFiniteLoss& error) {
    EXPECT_EQ(error.step(), 4);
    EXPECT_NEAR(error.learning_rate(), 0.01, 1e-12);
    EXPECT_THAT(error.what(), ::testing::AllOf(HasSubstr("step 4"), HasSubstr("0.01")));
  }
  EXPECT_EQ(training.trainer->step(), 3);
}

TEST_F(TrainerTest, RefusesADamagedCheckpointByName) {
  Training training = Begin();
  Losses(*training.trainer, 2);
  SaveTraining(directory_ / "run", *training.trainer, {2, 0, "data"});
  const auto file = directory_ / "run" / "state-2.safetensors";
  std::string bytes = proad::testing::ReadText(file);
  bytes[bytes.size() / 2] ^= 1;
  proad::testing::WriteText(file, bytes);
  try {
    RestoreTraining(directory_ / "run", *training.trainer);
    FAIL() << "accepted";
  } catch (const CorruptFile& error) {
    EXPECT_THAT(error.what(), HasSubstr("state-2.safetensors"));
  }
}

TEST_F(TrainerTest, LearnsInBfloat16) {
  Recipe recipe = SmallRecipe();
  recipe.steps = 40;
  recipe.precision = Precision::kBf16;
  Training training = Begin(recipe);
  const std::vector<double> losses = Losses(*training.trainer, 40);
  EXPECT_LT(losses.back(), losses.front() / 2);

  recipe.precision = Precision::kTf32;
  try {
    Begin(recipe);
    FAIL() << "accepted on a CPU";
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.field(), "overrides.precision");
  }
}

}  // namespace
}  // namespace proad::model
