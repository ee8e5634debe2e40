// The result of an evaluation on a dataset's test split: the score of each image, and figures.
//
// No LibTorch; evaluator.h measures. Values; safe to use from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace proad::model {

// One figure of one category, or its mean over the categories that have it.
struct Metric {
  std::string name;      // of MetricNames()
  std::string category;  // "": the mean
  double value = 0;      // 0..1
  int64_t images = 0;    // on which it was measured

  bool operator==(const Metric&) const = default;
};

// "image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pixel_ap", "pixel_f1_max", "aupro".
const std::vector<std::string>& MetricNames();

// The score of one image.
struct ScoredSample {
  std::string name;  // Sample::name
  std::string category;
  std::string defect;  // empty for a good image
  double score = 0;

  bool operator==(const ScoredSample&) const = default;
};

struct Evaluation {
  std::vector<Metric> metrics;        // means first, then by category
  std::vector<ScoredSample> samples;  // in the dataset's order

  // nullptr if there is none.
  const Metric* Find(const std::string& name, const std::string& category) const;

  bool operator==(const Evaluation&) const = default;
};

}  // namespace proad::model
