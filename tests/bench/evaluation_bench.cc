// Ranks the pixels of many maps, category by category as model/training/evaluator.h, and prints the
// time and the peak memory above that at the start of the process.
//
//   evaluation_bench [MAPS [CATEGORIES [MEBIBYTES]]]     default: 115000 maps in 30 categories
//
// The largest category has twice the mean size, as in real datasets. Two of five maps have a mask.
// Exits 1 if it needed more than MEBIBYTES or a metric differs from the expected value.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/spec/metrics.h"

namespace proad::model {
namespace {

constexpr int kSide = 256;
constexpr size_t kPixels = size_t{kSide} * kSide;

// Scores with few repeated values, as a network's: between 0 and 1, those of defects 0.5 higher.
class MapMaker {
 public:
  struct Map {
    std::span<const float> scores;
    std::span<const uint8_t> mask;  // empty for a good image
  };

  MapMaker() : scores_(kPixels), mask_(kPixels) {}

  Map Next() {
    for (float& score : scores_) score = Uniform();
    if (Uniform() >= 0.4f) return {scores_, {}};
    std::fill(mask_.begin(), mask_.end(), uint8_t{0});
    const int regions = 1 + static_cast<int>(Uniform() * 3);
    for (int i = 0; i < regions; ++i) AddRegion();
    return {scores_, mask_};
  }

 private:
  float Uniform() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<float>(state_ >> 40) * 0x1p-24f;
  }

  // 4 to 43 pixels a side: about a hundredth of the image, as in Real-IAD.
  void AddRegion() {
    const auto side = [this] { return 4 + static_cast<int>(Uniform() * 40); };
    const int width = side();
    const int height = side();
    const int left = static_cast<int>(Uniform() * static_cast<float>(kSide - width));
    const int top = static_cast<int>(Uniform() * static_cast<float>(kSide - height));
    for (int y = top; y < top + height; ++y) {
      for (int x = left; x < left + width; ++x) {
        const size_t at = size_t(y) * kSide + x;
        if (mask_[at] == 0) scores_[at] += 0.5f;
        mask_[at] = 255;
      }
    }
  }

  uint64_t state_ = 88172645463325252;
  std::vector<float> scores_;
  std::vector<uint8_t> mask_;
};

// The most memory that this process has had, in MiB.
int64_t PeakMebibytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == "VmHWM:") {
      int64_t kibibytes = 0;
      status >> kibibytes;
      return kibibytes / 1024;
    }
  }
  return 0;
}

// `maps` shared among categories: one with twice the mean, the rest with the same.
std::vector<int64_t> Shares(int64_t maps, int64_t categories) {
  const int64_t largest = categories == 1 ? maps : std::min(maps, 2 * maps / categories);
  std::vector<int64_t> shares = {largest};
  for (int64_t left = categories - 1, rest = maps - largest; left > 0; --left) {
    shares.push_back(rest / left);
    rest -= rest / left;
  }
  return shares;
}

// Two uniform distributions, one shifted by a half: the area below their curve is 1 - 1/8.
bool IsRight(const PixelReport& report) { return std::abs(report.ranking.auroc - 0.875) < 0.005; }

int Run(int64_t maps, int64_t categories, int64_t limit) {
  const int64_t at_start = PeakMebibytes();  // libraries, whatever they are
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&start] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  MapMaker maker;
  PixelMetrics metrics;
  bool right = true;
  for (const int64_t share : Shares(maps, categories)) {
    for (int64_t i = 0; i < share; ++i) {
      const MapMaker::Map map = maker.Next();
      metrics.Add(map.scores, map.mask, kSide, kSide);
    }
    const std::optional<PixelReport> report = metrics.Finish();
    right = right && report && IsRight(*report);
    std::cout << share << " maps, " << seconds() << " s, peak " << PeakMebibytes() - at_start
              << " MiB";
    if (report) {
      std::cout << ", AUROC " << report->ranking.auroc << ", AP "
                << report->ranking.average_precision << ", AUPRO " << report->aupro;
    }
    std::cout << std::endl;
  }
  const int64_t peak = PeakMebibytes() - at_start;
  std::cout << maps << " maps in " << categories << " categories: " << seconds() << " s, peak "
            << peak << " MiB of " << limit << " MiB allowed\n";
  if (!right) std::cout << "a figure is wrong\n";
  return right && peak > 0 && peak < limit ? 0 : 1;
}

}  // namespace
}  // namespace proad::model

int main(int argc, char** argv) {
  std::array<int64_t, 3> numbers = {115'000, 30, 8192};
  for (int i = 1; i < argc && i <= 3; ++i) {
    numbers[static_cast<size_t>(i) - 1] = std::atoll(argv[i]);
    if (numbers[static_cast<size_t>(i) - 1] < 1) {
      std::cerr << "usage: evaluation_bench [MAPS [CATEGORIES [MEBIBYTES]]]\n";
      return 2;
    }
  }
  return proad::model::Run(numbers[0], numbers[1], numbers[2]);
}
