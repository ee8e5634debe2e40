// The gate of a version: the figures that it must reach before it may be activated.
//
// No LibTorch. Values and pure functions; safe to use from any thread.
#pragma once

#include <string>
#include <vector>

#include "model/spec/evaluation.h"

namespace proad::model {

// The least value that a figure may have.
struct MetricMinimum {
  std::string metric;    // "image_auroc", ... (evaluation.h)
  std::string category;  // "": the mean over all
  double minimum = 0;    // 0..1

  bool operator==(const MetricMinimum&) const = default;
};

// The conditions of an activation; all of them must hold.
struct Gate {
  std::vector<MetricMinimum> minimums;
  // The version must not be worse than the active one on the same images, in the metrics that
  // `minimums` name, or in image_auroc if they name none.
  bool not_worse_than_active = false;
  double tolerance = 0;  // how much worse the version may be

  bool operator==(const Gate&) const = default;
};

// Whether a version passes.
struct GateVerdict {
  bool passed = false;
  std::string reason;  // the conditions that failed, with their figures; empty if passed

  bool operator==(const GateVerdict&) const = default;
};

// `active`: the figures of the active version on the same images, or nullptr if there is none. A
// condition fails if the evaluation lacks its figure.
GateVerdict Judge(const Gate& gate, const Evaluation& candidate, const Evaluation* active);

}  // namespace proad::model
