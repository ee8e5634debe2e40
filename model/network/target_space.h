// A projection of a teacher's patch features to a student's targets: their principal directions.
//
// Each kind of features is scaled to its weight. The projection keeps one principal direction less
// than the student's width. The last dimension is a constant, the anchor: Pro-AD compares the
// directions of tokens, and with a constant dimension the direction of a token also depends on the
// magnitude of its features. The student learns the targets directly, without a head.
//
// Immutable; safe to use from any thread.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "model/network/teacher.h"

namespace proad::model {

class TargetSpace {
 public:
  // Computes the directions from the features of many patches. width: the student's.
  TargetSpace(const TeacherFeatures& features, int width);

  // From the tensor that Stored() returned.
  explicit TargetSpace(const torch::Tensor& stored);

  // features: the same kinds as at construction -> [B, patches, dimensions()]. Over the patches of
  // the construction, each dimension except the last has mean 0, and their variances have mean 1.
  // A token longer than four times the root mean square length is shortened to it.
  torch::Tensor operator()(const TeacherFeatures& features) const;

  // The student's width. Dimensions beyond the teacher's directions are 0; the last is the anchor.
  int64_t dimensions() const { return projection_.size(1); }

  // The value of the last dimension.
  double anchor() const;

  // Share of the variance that the directions hold.
  double kept() const { return kept_; }

  // Mean and directions for a file: [1 + D, dimensions()].
  torch::Tensor Stored() const;

 private:
  torch::Tensor projection_;  // [D, dimensions]; 0 for the anchor
  torch::Tensor offset_;      // [1, dimensions]; the projected mean, and minus the anchor
  double kept_ = 0;
};

}  // namespace proad::model
