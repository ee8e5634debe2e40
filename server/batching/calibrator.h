// Chooses thresholds from images of good parts, scored as Detect scores them.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/dataset/dataset.h"
#include "server/batching/detector.h"
#include "server/serving/recalibration.h"

namespace proad::server {

// Thread-safety: Calibrate may be called from any thread that may block. It scores one image at a
// time, so that it takes little capacity from Detect. The detector must outlive it.
class Calibrator {
 public:
  explicit Calibrator(Detector& detector) : detector_(detector) {}

  // The threshold of each category of `good`, images of good parts, on the version "name@version",
  // which must be in memory. A threshold rejects at most floor(budget n) of a category's n images.
  // Waits while the server is full.
  //   FAILED_PRECONDITION  TOO_FEW_IMAGES: a category has too few images for the budget; checked
  //                        before any image is scored
  //   INVALID_ARGUMENT     an image cannot be read; the message names it
  //   INTERNAL             the model failed on an image; the message names it
  //   UNAVAILABLE          the server is draining
  //   else                 as Detector::Detect
  absl::StatusOr<Recalibrations> Calibrate(const std::string& model,
                                           absl::Span<const model::Sample> good,
                                           double budget) const;

 private:
  absl::StatusOr<double> Score(const std::string& model, const model::Sample& sample) const;

  Detector& detector_;
};

}  // namespace proad::server
