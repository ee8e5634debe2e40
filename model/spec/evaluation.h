// How good a version is on a dataset's test split, picture by picture and as figures.
//
// No LibTorch: evaluator.h measures. Plain values and pure functions; safe to use from any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/spec/train_spec.h"

namespace proad::model {

// One figure of one category, or the mean over the categories that have it.
struct Metric {
  std::string name;      // of MetricNames()
  std::string category;  // "": the mean
  double value = 0;      // 0..1
  int64_t images = 0;    // it was measured on

  bool operator==(const Metric&) const = default;
};

// "image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pixel_ap", "pixel_f1_max", "aupro".
const std::vector<std::string>& MetricNames();

// What a picture was scored with.
struct ScoredSample {
  std::string name;  // Sample::name
  std::string category;
  std::string defect;  // empty for a good one
  double score = 0;

  bool operator==(const ScoredSample&) const = default;
};

struct Evaluation {
  std::vector<Metric> metrics;        // means first, then by category
  std::vector<ScoredSample> samples;  // in the dataset's order

  // nullptr when there is none.
  const Metric* Find(const std::string& name, const std::string& category) const;

  bool operator==(const Evaluation&) const = default;
};

// Whether a version may be activated.
struct GateVerdict {
  bool passed = false;
  std::string reason;  // every condition that failed, with its figures; empty when passed

  bool operator==(const GateVerdict&) const = default;
};

// `active`: the active version's figures on the same pictures; nullptr when there is none. A figure
// that a condition needs and the evaluation lacks fails it.
GateVerdict Judge(const Gate& gate, const Evaluation& candidate, const Evaluation* active);

}  // namespace proad::model
