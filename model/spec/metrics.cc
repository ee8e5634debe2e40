#include "model/spec/metrics.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <numeric>
#include <opencv2/imgproc.hpp>
#include <utility>

#include "model/files/error.h"

namespace proad::model {
namespace {

void CheckFinite(std::span<const float> scores) {
  const auto bad =
      std::find_if(scores.begin(), scores.end(), [](float s) { return !std::isfinite(s); });
  if (bad != scores.end()) {
    throw NonFiniteScore("scores", "score " + std::to_string(bad - scores.begin()) + " is " +
                                       std::to_string(*bad) + "; only finite scores can be ranked");
  }
}

// A number that decreases with the score.
uint32_t RankOf(float score) {
  const auto bits = std::bit_cast<uint32_t>(score);
  return (bits & 0x80000000u) != 0 ? bits : ~bits & 0x7fffffffu;
}

// Sorts in place by descending score with a radix sort: into 256 parts by the byte of the rank at
// `shift`, then each part by the next byte. A category has hundreds of millions of pixels; this
// takes a quarter of the time of std::sort.
template <typename Pixel, typename ScoreOf>
void SortByScore(std::span<Pixel> pixels, ScoreOf score_of, int shift = 24) {
  constexpr size_t kFew = 128;
  if (pixels.size() < kFew) {
    std::sort(pixels.begin(), pixels.end(),
              [&](const Pixel& a, const Pixel& b) { return score_of(a) > score_of(b); });
    return;
  }
  const auto part_of = [&](const Pixel& pixel) {
    return (RankOf(score_of(pixel)) >> shift) & 0xff;
  };
  std::array<size_t, 257> begin{};
  for (const Pixel& pixel : pixels) ++begin[part_of(pixel) + 1];
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  std::array<size_t, 256> next;  // first free place of each part
  std::copy_n(begin.begin(), next.size(), next.begin());
  for (uint32_t part = 0; part < next.size(); ++part) {
    while (next[part] < begin[part + 1]) {
      // Moves pixels to their parts along a cycle until one belongs into this part.
      Pixel pixel = pixels[next[part]];
      for (uint32_t to = part_of(pixel); to != part; to = part_of(pixel))
        std::swap(pixel, pixels[next[to]++]);
      pixels[next[part]++] = pixel;
    }
  }
  if (shift == 0) return;
  for (size_t part = 0; part < next.size(); ++part) {
    SortByScore(pixels.subspan(begin[part], begin[part + 1] - begin[part]), score_of, shift - 8);
  }
}

// Visits the distinct scores in descending order. `visit` gets the numbers of good and of anomalous
// scores that are at least as high. Both spans are sorted descending; `score_of` returns the score
// of an anomalous element.
template <typename Anomalous, typename ScoreOf, typename Visit>
void WalkThresholds(std::span<const float> good, std::span<const Anomalous> anomalous,
                    ScoreOf score_of, Visit visit) {
  size_t g = 0;
  size_t a = 0;
  while (g < good.size() || a < anomalous.size()) {
    const bool good_first =
        a == anomalous.size() || (g < good.size() && good[g] > score_of(anomalous[a]));
    const float threshold = good_first ? good[g] : score_of(anomalous[a]);
    while (g < good.size() && good[g] == threshold) ++g;
    while (a < anomalous.size() && score_of(anomalous[a]) == threshold) ++a;
    visit(g, a);
  }
}

template <typename Anomalous, typename ScoreOf>
RankingMetrics RankSorted(std::span<const float> good, std::span<const Anomalous> anomalous,
                          ScoreOf score_of) {
  const double goods = static_cast<double>(good.size());
  const double anomalies = static_cast<double>(anomalous.size());
  RankingMetrics metrics;
  double false_before = 0;
  double true_before = 0;
  WalkThresholds(good, anomalous, score_of, [&](size_t false_count, size_t true_count) {
    const double false_positives = static_cast<double>(false_count);
    const double true_positives = static_cast<double>(true_count);
    metrics.auroc += (false_positives - false_before) * (true_positives + true_before) / 2;
    const double precision = true_positives / (true_positives + false_positives);
    metrics.average_precision += (true_positives - true_before) * precision;
    metrics.f1_max = std::max(metrics.f1_max,
                              2 * true_positives / (anomalies + true_positives + false_positives));
    false_before = false_positives;
    true_before = true_positives;
  });
  metrics.auroc /= goods * anomalies;
  metrics.average_precision /= anomalies;
  return metrics;
}

}  // namespace

std::optional<RankingMetrics> Rank(std::vector<float> good, std::vector<float> anomalous) {
  CheckFinite(good);
  CheckFinite(anomalous);
  if (good.empty() || anomalous.empty()) return std::nullopt;
  std::sort(good.begin(), good.end(), std::greater<>());
  std::sort(anomalous.begin(), anomalous.end(), std::greater<>());
  return RankSorted<float>(good, anomalous, std::identity());
}

void PixelMetrics::Add(std::span<const float> map, std::span<const uint8_t> mask, int width,
                       int height) {
  const size_t pixels = static_cast<size_t>(width) * static_cast<size_t>(height);
  if (width < 1 || height < 1 || map.size() != pixels || (!mask.empty() && mask.size() != pixels)) {
    throw InvalidInput("map", "SHAPE_MISMATCH",
                       "a map of " + std::to_string(map.size()) + " pixels and a mask of " +
                           std::to_string(mask.size()) + " do not match " + std::to_string(width) +
                           "x" + std::to_string(height));
  }
  CheckFinite(map);
  if (mask.empty()) {
    good_.insert(good_.end(), map.begin(), map.end());
    return;
  }
  const cv::Mat defect(height, width, CV_8U, const_cast<uint8_t*>(mask.data()));
  cv::Mat labels;
  cv::Mat statistics;
  cv::Mat centroids;
  const int count =
      cv::connectedComponentsWithStats(defect, labels, statistics, centroids, 8, CV_32S);
  regions_ += count - 1;  // label 0 is the good area
  for (size_t i = 0; i < pixels; ++i) {
    const int label = labels.ptr<int>()[i];
    if (label == 0) {
      good_.push_back(map[i]);
    } else {
      const int area = statistics.at<int>(label, cv::CC_STAT_AREA);
      defective_.push_back({.score = map[i], .region_area = area});
    }
  }
}

std::optional<PixelReport> PixelMetrics::Finish() {
  std::vector<float> good = std::exchange(good_, {});
  std::vector<DefectPixel> defective = std::exchange(defective_, {});
  const double regions = static_cast<double>(std::exchange(regions_, 0));
  if (good.empty() || defective.empty()) return std::nullopt;
  const auto score_of = [](const DefectPixel& pixel) { return pixel.score; };
  SortByScore(std::span<float>(good), std::identity());
  SortByScore(std::span<DefectPixel>(defective), score_of);
  const std::span<const DefectPixel> sorted = defective;

  PixelReport report{.ranking = RankSorted(std::span<const float>(good), sorted, score_of)};
  double rate_before = 0;
  double overlap_before = 0;
  double overlap = 0;  // mean share of a region's pixels at or above the threshold
  size_t counted = 0;
  WalkThresholds(
      std::span<const float>(good), sorted, score_of, [&](size_t false_count, size_t true_count) {
        for (; counted < true_count; ++counted)
          overlap += 1.0 / (sorted[counted].region_area * regions);
        const double rate = static_cast<double>(false_count) / static_cast<double>(good.size());
        if (rate_before < kAuproFprLimit) {
          // The last segment ends at the limit.
          const double end = std::min(rate, kAuproFprLimit);
          const double at_end = rate > rate_before ? overlap_before + (overlap - overlap_before) *
                                                                          (end - rate_before) /
                                                                          (rate - rate_before)
                                                   : overlap;
          report.aupro += (end - rate_before) * (overlap_before + at_end) / 2;
        }
        rate_before = rate;
        overlap_before = overlap;
      });
  report.aupro /= kAuproFprLimit;
  return report;
}

}  // namespace proad::model
