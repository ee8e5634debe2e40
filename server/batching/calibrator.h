// Thresholds from pictures of good parts, scored as Detect scores them.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/dataset/dataset.h"
#include "server/batching/detector.h"
#include "server/serving/recalibration.h"

namespace proad::server {

// Thread-safety: Calibrate may be called from any thread that may wait; it has one picture under
// way at a time, so that what it takes from Detect is small. The detector must outlive it.
class Calibrator {
 public:
  explicit Calibrator(Detector& detector) : detector_(detector) {}

  // The threshold of each category of `good`, pictures of good parts, on the version
  // "name@version", which must be in memory: of a category's n pictures at most floor(budget n) are
  // rejected. Waits while the server is full.
  //   FAILED_PRECONDITION  TOO_FEW_IMAGES: a category has too few pictures for the budget; before
  //                        anything is scored
  //   INVALID_ARGUMENT     a picture cannot be read; the message names it
  //   INTERNAL             the model failed on a picture; the message names it
  //   UNAVAILABLE          draining
  //   else                 as Detector::Detect
  absl::StatusOr<Recalibrations> Calibrate(const std::string& model,
                                           absl::Span<const model::Sample> good,
                                           double budget) const;

 private:
  absl::StatusOr<double> Score(const std::string& model, const model::Sample& sample) const;

  Detector& detector_;
};

}  // namespace proad::server
