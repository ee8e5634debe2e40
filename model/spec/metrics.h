// Figures of how well scores separate defective from good images and pixels (section 4.1): AUROC,
// average precision, F1-max and AUPRO.
//
// Exact: every distinct score is a threshold, as in scikit-learn's roc_auc_score,
// average_precision_score and precision_recall_curve. Higher scores mean more anomalous.
//
// No LibTorch. Thread-safety: the functions are pure; a PixelMetrics belongs to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace proad::model {

// Figures of one ranking, each 0..1.
struct RankingMetrics {
  double auroc = 0;              // area under the ROC curve
  double average_precision = 0;  // sum of precision times the gain in recall
  double f1_max = 0;             // highest harmonic mean of precision and recall
};

// Absent unless there is at least one good and one anomalous score. Equal scores share one
// threshold. Throws InvalidInput (field "scores", SCORE_NOT_FINITE) for a score that is NaN or
// infinite.
std::optional<RankingMetrics> Rank(std::vector<float> good, std::vector<float> anomalous);

// The figures of all pixels of one category.
struct PixelReport {
  RankingMetrics ranking;
  // The area under the curve of per-region overlap over the false positive rate, from rate 0 to
  // kAuproFprLimit, divided by kAuproFprLimit. The overlap of a threshold is the share of a
  // region's pixels at or above it, averaged over the regions of all images whatever their size.
  // The curve starts at (0, 0) and is linear between thresholds, also at the limit.
  double aupro = 0;
};

inline constexpr double kAuproFprLimit = 0.3;

// Collects the pixels of one category, map by map. Needs four bytes for a good pixel and eight for
// a defective one (up to twice as much while it grows); Finish works in place. So the memory is
// that of the largest category, not of the dataset.
class PixelMetrics {
 public:
  // map: [height, width] scores, row-major. mask: the same shape, not 0 where defective; empty for
  // a good image. Regions are 8-connected. Throws InvalidInput and adds nothing if the shapes
  // differ (field "map", SHAPE_MISMATCH) or a score is not finite (as Rank does).
  void Add(std::span<const float> map, std::span<const uint8_t> mask, int width, int height);

  // The figures of all pixels added since the last call. Absent unless there are good and defective
  // ones.
  std::optional<PixelReport> Finish();

 private:
  struct DefectPixel {
    float score;
    int32_t region_area;  // pixels of its region
  };

  std::vector<float> good_;
  std::vector<DefectPixel> defective_;
  int64_t regions_ = 0;
};

}  // namespace proad::model
