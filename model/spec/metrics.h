// How well scores tell defective from good, for images and for pixels (section 4.1).
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

// Absent unless there is at least one score of each kind: one kind alone cannot be ranked. Equal
// scores share one threshold. Throws InvalidInput (field "scores", SCORE_NOT_FINITE) for a score
// that is NaN or infinite.
std::optional<RankingMetrics> Rank(std::vector<float> good, std::vector<float> anomalous);

// Figures of all pixels of one category.
struct PixelReport {
  RankingMetrics ranking;
  // Per-region overlap: the share of a defect's pixels that a threshold finds, averaged over all
  // defects of all pictures, whatever their size. Its area over the share of good pixels that the
  // same threshold reports, from 0 to kAuproFprLimit, divided by kAuproFprLimit. The curve starts
  // at (0, 0) and is straight between thresholds, at the limit too.
  double aupro = 0;
};

inline constexpr double kAuproFprLimit = 0.3;

// Collects the pixels of one category, map by map. Keeps four bytes a good pixel and eight a
// defective one (at worst twice that, while it grows), and Finish works in place: the memory is
// that of the largest category, not of the dataset, and half of what scores and labels in one array
// take.
class PixelMetrics {
 public:
  // map: [height, width] scores, row-major. mask: the same shape, not 0 where defective; empty for
  // a good picture. A region is 8-connected. Throws InvalidInput, and adds nothing, when the shapes
  // differ (field "map", SHAPE_MISMATCH) or a score is not finite (as Rank does).
  void Add(std::span<const float> map, std::span<const uint8_t> mask, int width, int height);

  // Of all that was added since the last call. Absent unless there were good and defective pixels.
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
