#include "model/training/distiller.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "model/files/error.h"
#include "tests/support/temp_directory.h"
#include "tests/torch/random_model.h"

namespace proad::model {
namespace {

using proad::testing::TempDirectory;
using testing::MaxDifference;

EncoderConfig SmallStudent() {
  EncoderConfig config;
  config.width = 32;
  config.heads = 2;
  config.blocks = 4;
  config.position_grid = 4;
  config.taps = {0, 1, 2, 3};
  return config;
}

DistilOptions SmallOptions() {
  DistilOptions options;
  options.steps = 60;
  options.warmup_steps = 5;
  options.batch_patches = 32;
  options.learning_rate = 5e-3;
  options.sides = {56, 28};
  options.seed = 3;
  return options;
}

// Says of each patch its mean colour and how rough it is.
class PlainTeacher : public Teacher {
 public:
  std::string name() const override { return "plain"; }
  std::vector<TeacherFeatures> Features(const torch::Tensor& images, int grid) const override {
    const auto patches = [grid](const torch::Tensor& map) {
      return at::adaptive_avg_pool2d(map, {grid, grid}).flatten(2).transpose(1, 2);
    };
    const torch::Tensor rough = (images - images.roll(1, 3)).abs();
    return {{{patches(images), patches(rough)}, {1, 1}}, {{patches(images.square())}, {1}}};
  }
};

Image Photograph(int64_t number) {
  Image image{.width = 64, .height = 48};
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      for (int c = 0; c < 3; ++c) {
        const int64_t fine = (x / (1 + number % 4) + y / (1 + number % 3)) % 2;
        image.pixels.push_back(static_cast<uint8_t>((40 * number + 60 * c + 80 * fine) % 256));
      }
    }
  }
  return image;
}

class DistillerTest : public ::testing::Test {
 protected:
  struct Lesson {
    explicit Lesson(const DistilOptions& options = SmallOptions()) {
      at::manual_seed(1);
      student = VisionTransformer(SmallStudent());
      distiller.emplace(student, teacher, Photograph, 6, options);
      distiller->Begin(/*fresh=*/true);
    }
    std::vector<double> Losses(int steps) {
      std::vector<double> losses;
      for (int i = 0; i < steps; ++i) losses.push_back(distiller->Step().loss);
      return losses;
    }

    PlainTeacher teacher;
    VisionTransformer student{nullptr};
    std::optional<Distiller> distiller;
  };

  TempDirectory directory_;
};

TEST_F(DistillerTest, StudentLearnsTheTeachersFeatures) {
  DistilOptions options = SmallOptions();
  options.steps = 150;
  Lesson lesson(options);
  const std::vector<double> losses = lesson.Losses(150);
  EXPECT_GT(losses[0], 0.8) << "to begin with it knows nothing";
  EXPECT_LT(std::accumulate(losses.end() - 10, losses.end(), 0.0) / 10, 0.5);
}

TEST_F(DistillerTest, EqualSeedsGiveEqualRuns) {
  EXPECT_EQ(Lesson().Losses(5), Lesson().Losses(5));
  DistilOptions other = SmallOptions();
  other.seed = 4;
  EXPECT_NE(Lesson().Losses(1), Lesson(other).Losses(1));
}

TEST_F(DistillerTest, SavedRunContinuesToTheSameWeights) {
  Lesson whole;
  const std::vector<double> losses = whole.Losses(8);
  Lesson first;
  first.Losses(3);
  first.distiller->Save(directory_ / "state");
  Lesson second;
  second.distiller->Load(directory_ / "state");
  EXPECT_EQ(second.distiller->step(), 3);
  EXPECT_EQ(second.Losses(5), std::vector<double>(losses.begin() + 3, losses.end()));
  const auto expected = whole.student->named_parameters();
  for (const auto& item : second.student->named_parameters()) {
    EXPECT_EQ(MaxDifference(item.value(), expected[item.key()]), 0) << item.key();
  }
}

TEST_F(DistillerTest, EvaluateDoesNotChangeTheStudent) {
  Lesson lesson, other;
  lesson.Losses(3);
  other.Losses(3);
  const std::vector<double> missed = lesson.distiller->Evaluate(4);
  ASSERT_EQ(missed.size(), 2u);
  for (const double share : missed) EXPECT_TRUE(share > 0.2 && share < 2) << share;
  EXPECT_EQ(lesson.distiller->Evaluate(4), missed);
  EXPECT_EQ(lesson.Losses(2), other.Losses(2));
}

TEST_F(DistillerTest, RefusesTheStateOfAnotherStudent) {
  Lesson lesson;
  lesson.Losses(1);
  lesson.distiller->Save(directory_ / "state");
  EncoderConfig wider = SmallStudent();
  wider.width = 64;
  VisionTransformer student(wider);
  Distiller other(student, lesson.teacher, Photograph, 6, SmallOptions());
  EXPECT_THROW(other.Load(directory_ / "state"), CorruptFile);
}

TEST_F(DistillerTest, NonFiniteLossDoesNotChangeTheWeights) {
  Lesson lesson;
  lesson.Losses(1);
  const torch::NoGradGuard no_grad;
  lesson.student->cls_token.fill_(std::numeric_limits<float>::quiet_NaN());
  const torch::Tensor before = lesson.student->register_tokens.clone();
  {
    const at::AutoGradMode grad(true);
    EXPECT_THROW(lesson.distiller->Step(), NonFiniteLoss);
  }
  EXPECT_EQ(MaxDifference(lesson.student->register_tokens, before), 0);
}

TEST_F(DistillerTest, ErrorsNameInvalidOptions) {
  const auto refused = [](const DistilOptions& options) -> std::string {
    try {
      Lesson lesson(options);
      return "";
    } catch (const InvalidInput& error) {
      return error.field();
    }
  };
  DistilOptions options = SmallOptions();
  options.sides = {56, 60};
  EXPECT_EQ(refused(options), "sides");
  options = SmallOptions();
  options.batch_patches = 0;
  EXPECT_EQ(refused(options), "batch_patches");
  options = SmallOptions();
  options.groups = 3;
  EXPECT_EQ(refused(options), "groups");
}

TEST_F(DistillerTest, Bfloat16ReachesASimilarLoss) {
  DistilOptions mixed = SmallOptions();
  mixed.precision = Precision::kBf16;
  EXPECT_NEAR(Lesson(mixed).Losses(60).back(), Lesson().Losses(60).back(), 0.05);
}

}  // namespace
}  // namespace proad::model
