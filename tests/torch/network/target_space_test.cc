#include "model/network/target_space.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/torch/random_model.h"

namespace proad::model {
namespace {

using testing::MaxDifference;

// Two kinds of features of other scales, whose dimensions depend on each other: five and four are
// independent.
TeacherFeatures Features(double louder = 1) {
  at::manual_seed(5);
  return {{at::matmul(at::randn({16, 50, 5}), at::randn({5, 9})) + 3,
           1000 * louder * at::randn({16, 50, 4})},
          {1, 1},
          2};
}

torch::Tensor Distances(const torch::Tensor& tokens) { return at::cdist(tokens[0], tokens[0]); }

TEST(TargetSpaceTest, TargetsHaveMeanZeroAndVarianceOne) {
  const TargetSpace space(Features(), 8);
  EXPECT_EQ(space.dimensions(), 8);
  const torch::Tensor targets = space(Features());
  EXPECT_EQ(targets.sizes(), (std::vector<int64_t>{16, 50, 8}));
  const torch::Tensor varying = targets.narrow(2, 0, 7);
  EXPECT_LT(varying.flatten(0, 1).mean(0).abs().max().item<double>(), 1e-3);
  EXPECT_NEAR(varying.square().mean().item<double>(), 1, 1e-2);
  const torch::Tensor anchor = targets.narrow(2, 7, 1);
  EXPECT_LT(MaxDifference(anchor, at::full_like(anchor, 2 * std::sqrt(7.0))), 1e-5);
  EXPECT_NEAR(space.anchor(), 2 * std::sqrt(7.0), 1e-5);
}

TEST(TargetSpaceTest, KeepsAllVarianceIfTheStudentIsWideEnough) {
  EXPECT_NEAR(TargetSpace(Features(), 10).kept(), 1, 1e-6);
  EXPECT_LT(TargetSpace(Features(), 7).kept(), 0.99);
  const torch::Tensor wide = TargetSpace(Features(), 20)(Features());
  EXPECT_EQ(wide.size(2), 20);
  EXPECT_EQ(wide.narrow(2, 13, 6).abs().max().item<double>(), 0) << "but for the anchor";
}

TEST(TargetSpaceTest, KeepsTheDistancesOfTheFeatures) {
  const TeacherFeatures one_kind = {{at::randn({1, 60, 7})}, {1}};
  const torch::Tensor expected = Distances(one_kind.kinds[0]);
  const torch::Tensor found = Distances(TargetSpace(one_kind, 8)(one_kind));
  const double ratio = (found.sum() / expected.sum()).item<double>();
  EXPECT_LT(MaxDifference(found, expected * ratio), 1e-2);
}

TEST(TargetSpaceTest, KindsCountByTheirWeight) {
  const torch::Tensor plain = TargetSpace(Features(), 10)(Features());
  // Directions may differ in sign; distances do not.
  EXPECT_LT(MaxDifference(Distances(plain), Distances(TargetSpace(Features(50), 10)(Features(50)))),
            1e-2);
  TeacherFeatures weighted = Features();
  weighted.weights[1] = 5;
  EXPECT_GT(MaxDifference(Distances(plain), Distances(TargetSpace(weighted, 10)(weighted))), 0.1);
}

TEST(TargetSpaceTest, EqualsItselfAfterAFile) {
  const TargetSpace space(Features(), 8);
  EXPECT_EQ(MaxDifference(TargetSpace(space.Stored())(Features()), space(Features())), 0);
}

TEST(TargetSpaceTest, LimitsTheLengthOfOutliers) {
  const TargetSpace space(Features(), 8);
  EXPECT_LE(space(Features(1e6)).narrow(2, 0, 7).norm(2, {2}).max().item<double>(),
            4.001 * std::sqrt(7.0));
}

}  // namespace
}  // namespace proad::model
