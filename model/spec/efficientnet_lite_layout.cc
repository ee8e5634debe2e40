#include "model/spec/efficientnet_lite_layout.h"

#include <algorithm>
#include <cmath>

namespace proad::model {
namespace {

// EfficientNet-Lite0. The other variants have more channels and more blocks in a stage.
struct Stage {
  int blocks;
  int kernel;
  int stride;  // of the first block
  int expansion;
  int64_t outputs;
};
constexpr Stage kStages[kLiteStages] = {{1, 3, 1, 1, 16}, {2, 3, 2, 6, 24},  {2, 5, 2, 6, 40},
                                        {3, 3, 2, 6, 80}, {3, 5, 1, 6, 112}, {4, 5, 2, 6, 192},
                                        {1, 3, 1, 6, 320}};

struct Scaling {
  double width;
  double depth;
};
constexpr Scaling kScalings[kLiteVariants] = {{1.0, 1.0}, {1.0, 1.1}, {1.1, 1.2}};

// The nearest multiple of eight that is not more than a tenth below the product.
int64_t ScaledWidth(int64_t channels, double factor) {
  constexpr int64_t kDivisor = 8;
  const double scaled = static_cast<double>(channels) * factor;
  int64_t width = static_cast<int64_t>(scaled + kDivisor / 2.0) / kDivisor * kDivisor;
  width = std::max(width, kDivisor);
  return static_cast<double>(width) < 0.9 * scaled ? width + kDivisor : width;
}

// The first and the last stage have one block in every variant.
int ScaledBlocks(int stage, double factor) {
  const int blocks = kStages[stage].blocks;
  const bool fixed = stage == 0 || stage == kLiteStages - 1;
  return fixed ? blocks : static_cast<int>(std::ceil(blocks * factor));
}

}  // namespace

std::vector<LiteBlockLayout> LiteBlocks(int variant, int stages) {
  const Scaling& scaling = kScalings[variant];
  std::vector<LiteBlockLayout> blocks;
  int64_t inputs = kLiteStemWidth;
  for (int stage = 0; stage < stages; ++stage) {
    const Stage& of = kStages[stage];
    const int64_t outputs = ScaledWidth(of.outputs, scaling.width);
    for (int i = 0; i < ScaledBlocks(stage, scaling.depth); ++i) {
      blocks.push_back(
          {stage, of.kernel, i == 0 ? of.stride : 1, inputs, inputs * of.expansion, outputs});
      inputs = outputs;
    }
  }
  return blocks;
}

int64_t LiteStageWidth(int variant, int stage) {
  return ScaledWidth(kStages[stage].outputs, kScalings[variant].width);
}

}  // namespace proad::model
