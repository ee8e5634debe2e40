// The directions in which a teacher's features of patches vary most: what a student is to copy.
//
// Each kind of features is scaled to its weight, and the principal directions of the whole are
// kept, one less than the student is wide. The last dimension is a constant, the anchor: Pro-AD
// compares directions of tokens, and only beside something constant does the direction of a token
// tell how strong its features are. The student's tokens then stand to each other as the teacher's
// features do, directly: no head lies between.
//
// Immutable; safe to use from any thread.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "model/network/teacher.h"

namespace proad::model {

class TargetSpace {
 public:
  // From the features of many patches.
  TargetSpace(const TeacherFeatures& features, int width);

  // As Stored() gave it.
  explicit TargetSpace(const torch::Tensor& stored);

  // features: as at construction -> [B, patches, dimensions()]; each dimension but the last of mean
  // 0, all these together of variance 1 on average, and none longer than four times the usual
  torch::Tensor operator()(const TeacherFeatures& features) const;

  // As many as the student is wide; 0 where the teacher has fewer directions, the last the anchor.
  int64_t dimensions() const { return projection_.size(1); }

  // The value of the last dimension.
  double anchor() const;

  // What share of the variance they hold.
  double kept() const { return kept_; }

  // Mean and directions: [1 + D, dimensions()], for a file.
  torch::Tensor Stored() const;

 private:
  torch::Tensor projection_;  // [D, dimensions]; 0 for the anchor
  torch::Tensor offset_;      // [1, dimensions]; what the mean becomes, and minus the anchor
  double kept_ = 0;
};

}  // namespace proad::model
