// StableAdamW, by hand where a hand can follow, its state, and the schedule. training_parity.py
// compares whole runs with another implementation.

#include "model/training/optimizer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/files/error.h"
#include "model/training/loss.h"
#include "tests/torch/random_model.h"

namespace proad::model {
namespace {

using ::proad::model::testing::RandomModel;
using ::proad::model::testing::SmallConfig;
using ::testing::HasSubstr;

using Parameters = torch::OrderedDict<std::string, torch::Tensor>;
using State = std::map<std::string, torch::Tensor>;

Parameters Single(const std::vector<double>& values) {
  Parameters parameters;
  parameters.insert("p", at::tensor(values, at::kDouble).requires_grad_());
  return parameters;
}

void SetGradient(Parameters& parameters, const std::vector<double>& values) {
  parameters["p"].mutable_grad() = at::tensor(values, at::kDouble);
}

double Value(const Parameters& parameters, int64_t i) { return parameters["p"][i].item<double>(); }

State Cloned(const State& state) {
  State clone;
  for (const auto& [name, tensor] : state) clone[name] = tensor.clone();
  return clone;
}

// The field, reason and message of the refusal.
std::string RefusalOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const InvalidInput& error) {
    return error.field() + " " + error.reason() + ": " + error.what();
  }
  return "(nothing was refused)";
}

class OptimizerTest : public ::testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(1); }
};

// ---------------------------------------------------------------- the rule

TEST_F(OptimizerTest, FirstStepFollowsTheNegativeSignOfTheGradient) {
  Parameters parameters = Single({1.0, 1.0, 1.0});
  StableAdamW optimizer(parameters, {.weight_decay = 0.0});
  SetGradient(parameters, {5.0, -1e-3, 0.0});
  optimizer.Step(0.1);
  // Two of three elements have |g / D| = 1, so that the RMS is below 1 and nothing is scaled down.
  EXPECT_NEAR(Value(parameters, 0), 0.9, 1e-6);
  EXPECT_NEAR(Value(parameters, 1), 1.1, 1e-6);
  EXPECT_EQ(Value(parameters, 2), 1.0);
  EXPECT_EQ(optimizer.steps(), 1);
}

TEST_F(OptimizerTest, DecayShrinksParametersWithZeroGradient) {
  Parameters parameters = Single({2.0});
  StableAdamW optimizer(parameters, {.weight_decay = 0.5});
  SetGradient(parameters, {0.0});
  optimizer.Step(0.1);
  EXPECT_NEAR(Value(parameters, 0), 2.0 * (1 - 0.1 * 0.5), 1e-12);
}

TEST_F(OptimizerTest, ScalesTheUpdateOfASuddenGradientDown) {
  Parameters parameters = Single({0.0});
  StableAdamW optimizer(parameters, {.weight_decay = 0.0});
  SetGradient(parameters, {1.0});
  optimizer.Step(0.1);
  SetGradient(parameters, {100.0});
  optimizer.Step(0.1);
  const double m = 0.9 * 0.1 + 0.1 * 100;
  const double v = 0.999 * 0.001 + 0.001 * 1e4;
  const double d = std::sqrt(v / (1 - 0.999 * 0.999));
  ASSERT_GT(100 / d, 1.4);  // what the second step is divided by
  EXPECT_NEAR(Value(parameters, 0), -0.1 - 0.1 / (1 - 0.9 * 0.9) / (100 / d) * m / d, 1e-7);
}

TEST_F(OptimizerTest, KeepsTheLargestSecondMoment) {
  Parameters parameters = Single({0.0});
  StableAdamW optimizer(parameters, {});
  SetGradient(parameters, {10.0});
  optimizer.Step(0.0);
  for (int i = 0; i < 3; ++i) {
    SetGradient(parameters, {0.1});
    optimizer.Step(0.0);
  }
  const State state = optimizer.State();
  EXPECT_NEAR(state.at("p.u").item<double>(), 0.001 * 100, 1e-9);
  EXPECT_LT(state.at("p.v").item<double>(), state.at("p.u").item<double>());
}

TEST_F(OptimizerTest, NamesAParameterWithoutGradientAndChangesNone) {
  Parameters parameters = Single({1.0});
  parameters.insert("forgotten", at::ones({2}).requires_grad_());
  StableAdamW optimizer(parameters, {});
  SetGradient(parameters, {1.0});
  try {
    optimizer.Step(0.1);
    FAIL() << "nothing was thrown";
  } catch (const c10::Error& error) {
    EXPECT_THAT(error.what_without_backtrace(), HasSubstr("forgotten"));
  }
  EXPECT_EQ(Value(parameters, 0), 1.0);
  EXPECT_EQ(optimizer.steps(), 0);
}

// ---------------------------------------------------------------- gradients

TEST_F(OptimizerTest, ClippingScalesAllTensorsTogether) {
  Parameters parameters = Single({0.0, 0.0});
  parameters.insert("q", at::zeros({1}, at::kDouble).requires_grad_());
  StableAdamW optimizer(parameters, {});
  SetGradient(parameters, {2.0, 3.0});
  parameters["q"].mutable_grad() = at::full({1}, 6.0, at::kDouble);
  EXPECT_NEAR(optimizer.ClipGradients(0.1), 7.0, 1e-12);
  EXPECT_NEAR(parameters["p"].grad()[0].item<double>(), 0.1 * 2 / 7, 1e-7);
  EXPECT_NEAR(parameters["p"].grad()[1].item<double>(), 0.1 * 3 / 7, 1e-7);
  EXPECT_NEAR(parameters["q"].grad()[0].item<double>(), 0.1 * 6 / 7, 1e-7);
}

TEST_F(OptimizerTest, ClippingLeavesSmallGradientsAlone) {
  Parameters parameters = Single({0.0});
  StableAdamW optimizer(parameters, {});
  SetGradient(parameters, {0.05});
  EXPECT_NEAR(optimizer.ClipGradients(0.1), 0.05, 1e-12);
  EXPECT_EQ(parameters["p"].grad()[0].item<double>(), 0.05);
}

TEST_F(OptimizerTest, ClippingReportsAGradientThatIsNotFinite) {
  Parameters parameters = Single({0.0, 0.0});
  StableAdamW optimizer(parameters, {});
  SetGradient(parameters, {1.0, std::numeric_limits<double>::infinity()});
  EXPECT_FALSE(std::isfinite(optimizer.ClipGradients(0.1)));
}

TEST_F(OptimizerTest, ZeroGradientsClearsThem) {
  Parameters parameters = Single({0.0});
  StableAdamW optimizer(parameters, {});
  SetGradient(parameters, {1.0});
  optimizer.ZeroGradients();
  EXPECT_FALSE(parameters["p"].grad().defined());
}

// ---------------------------------------------------------------- a network's steps

// A network in training, with dropout, on its own images.
class Training {
 public:
  Training() : model_(RandomModel(SmallConfig())) {
    model_->train();
    model_->set_dropout(0.3);
    optimizer_ =
        std::make_unique<StableAdamW>(model_->TrainableParameters(), StableAdamW::Options{});
    at::manual_seed(11);
    taps_ = model_->Encode(
        at::randn({2, 3, model_->config().input_height, model_->config().input_width}));
  }

  // Returns the loss of each step.
  std::vector<float> Run(int steps, uint64_t seed) {
    at::manual_seed(seed);
    std::vector<float> losses;
    for (int i = 0; i < steps; ++i) {
      optimizer_->ZeroGradients();
      const torch::Tensor loss = ReconstructionLoss(model_->Reconstruct(taps_));
      loss.backward();
      optimizer_->ClipGradients(0.1);
      optimizer_->Step(1e-3);
      losses.push_back(loss.item<float>());
    }
    return losses;
  }

  State Weights() const {
    State weights;
    for (const auto& item : model_->TrainableParameters())
      weights[item.key()] = item.value().detach();
    return weights;
  }

  void SetWeights(const State& weights) {
    const torch::NoGradGuard no_grad;
    for (auto& item : model_->TrainableParameters()) item.value().copy_(weights.at(item.key()));
  }

  StableAdamW& optimizer() { return *optimizer_; }

 private:
  ProAd model_;
  std::unique_ptr<StableAdamW> optimizer_;
  std::vector<torch::Tensor> taps_;
};

void ExpectIdentical(const State& actual, const State& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (const auto& [name, tensor] : expected) EXPECT_TRUE(actual.at(name).equal(tensor)) << name;
}

TEST_F(OptimizerTest, EqualSeedsGiveEqualRunsWithDropout) {
  Training first, second, other;
  const std::vector<float> losses = first.Run(3, /*seed=*/1);
  EXPECT_EQ(second.Run(3, /*seed=*/1), losses);
  ExpectIdentical(second.Weights(), first.Weights());
  EXPECT_NE(other.Run(3, /*seed=*/2), losses);
  EXPECT_FALSE(other.Weights().at("prototypes").equal(first.Weights().at("prototypes")));
}

TEST_F(OptimizerTest, RestoredStateContinuesBitForBit) {
  Training undisturbed, stopped;
  undisturbed.Run(2, /*seed=*/1);
  stopped.Run(2, /*seed=*/1);
  const State weights = Cloned(stopped.Weights());
  const State state = Cloned(stopped.optimizer().State());
  Training resumed;
  resumed.SetWeights(weights);
  resumed.optimizer().Load(state);
  EXPECT_EQ(resumed.optimizer().steps(), 2);

  const std::vector<float> losses = undisturbed.Run(3, /*seed=*/4);
  EXPECT_EQ(resumed.Run(3, /*seed=*/4), losses);
  ExpectIdentical(resumed.Weights(), undisturbed.Weights());
  ExpectIdentical(resumed.optimizer().State(), undisturbed.optimizer().State());
}

TEST_F(OptimizerTest, RefusesAStateThatDoesNotFitAndChangesNothing) {
  Parameters parameters = Single({0.0, 0.0});
  StableAdamW optimizer(parameters, {});
  SetGradient(parameters, {1.0, 2.0});
  optimizer.Step(0.1);
  const State before = Cloned(optimizer.State());

  const std::pair<std::function<void(State&)>, std::vector<std::string>> cases[] = {
      {[](State& state) { state.erase("p.v"); }, {"lacks 'p.v'", "[2]"}},
      {[](State& state) { state.erase("steps"); }, {"lacks 'steps'"}},
      {[](State& state) { state["q.m"] = at::zeros({2}); }, {"has 'q.m'", "no parameter"}},
      {[](State& state) { state["p.m"] = at::zeros({3}, at::kDouble); }, {"'p.m'", "[3]", "[2]"}},
      {[](State& state) { state["p.u"] = at::zeros({2}, at::kFloat); },
       {"'p.u'", "Float", "Double"}},
      {[](State& state) { state["steps"].fill_(-1); }, {"-1 steps", "0 or more"}},
  };
  for (const auto& [damage, words] : cases) {
    State state;
    for (const auto& [name, tensor] : before) state[name] = tensor + 1;
    damage(state);
    const std::string refusal = RefusalOf([&] { optimizer.Load(state); });
    EXPECT_THAT(refusal, HasSubstr("optimizer STATE_MISMATCH"));
    for (const std::string& word : words) EXPECT_THAT(refusal, HasSubstr(word));
    ExpectIdentical(optimizer.State(), before);
  }
}

// ---------------------------------------------------------------- the schedule

TEST(ScheduleTest, WarmsUpLinearlyAndFollowsHalfACosine) {
  const Schedule schedule(
      {.learning_rate = 1e-3, .final_ratio = 0.1, .warmup_steps = 5, .total_steps = 13});
  const double middle = 0.55e-3;  // half way between base and final
  const double swing = 0.45e-3;
  const double diagonal = swing * std::sqrt(0.5);
  const std::vector<std::pair<int64_t, double>> table = {
      {0, 0.0},
      {1, 0.25e-3},
      {2, 0.5e-3},
      {3, 0.75e-3},
      {4, 1e-3},  // the warm-up ends at the base,
      {5, 1e-3},  // where the cosine starts
      {7, middle + diagonal},
      {9, middle},
      {11, middle - diagonal},
      {12, middle - swing * std::cos(std::acos(-1.0) / 8)},
      {13, 1e-4},
      {14, 1e-4},
      {1'000'000, 1e-4},
  };
  for (const auto& [step, expected] : table) {
    EXPECT_NEAR(schedule.LearningRate(step), expected, 1e-15) << "step " << step;
  }
}

TEST(ScheduleTest, ShortWarmUps) {
  const auto at = [](int64_t warmup, int64_t total, int64_t step) {
    return Schedule({.learning_rate = 2.0, .warmup_steps = warmup, .total_steps = total})
        .LearningRate(step);
  };
  EXPECT_EQ(at(0, 10, 0), 2.0);
  EXPECT_EQ(at(1, 10, 0), 0.0);
  EXPECT_EQ(at(1, 10, 1), 2.0);
  EXPECT_EQ(at(2, 10, 0), 0.0);
  EXPECT_EQ(at(2, 10, 1), 2.0);
  EXPECT_EQ(at(10, 10, 9), 2.0);  // nothing but warm-up
  EXPECT_EQ(at(10, 10, 10), 0.2);
  EXPECT_EQ(at(0, 1, 0), 2.0);
}

TEST(ScheduleTest, ErrorsNameInvalidOptions) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const std::pair<Schedule::Options, std::vector<std::string>> cases[] = {
      {{.learning_rate = -1.0}, {"learning_rate SCHEDULE_INVALID", "is -1", "from 0"}},
      {{.learning_rate = kNan}, {"learning_rate SCHEDULE_INVALID", "nan"}},
      {{.final_ratio = 1.5}, {"final_learning_rate_ratio SCHEDULE_INVALID", "1.5", "0 to 1"}},
      {{.total_steps = 0}, {"total_steps SCHEDULE_INVALID", "is 0", "at least 1"}},
      {{.warmup_steps = 11, .total_steps = 10},
       {"warmup_steps SCHEDULE_INVALID", "is 11", "0 to the number", "10"}},
      {{.warmup_steps = -1, .total_steps = 10}, {"warmup_steps SCHEDULE_INVALID", "is -1"}},
  };
  for (const auto& [options, words] : cases) {
    const std::string refusal = RefusalOf([&, options = options] { Schedule{options}; });
    for (const std::string& word : words) EXPECT_THAT(refusal, HasSubstr(word));
  }
}

}  // namespace
}  // namespace proad::model
