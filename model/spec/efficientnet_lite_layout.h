// The architecture of EfficientNet-Lite (Google, 2020), a scaled family of convolutional networks:
// the layers as far as the last stage, without the classifier.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <vector>

namespace proad::model {

inline constexpr int kLiteVariants = 3;  // EfficientNet-Lite0, 1 and 2
inline constexpr int kLiteStages = 7;
inline constexpr int64_t kLiteStemWidth = 32;  // channels after the first convolution, stride 2

// A block: a 1x1 convolution to `expanded` channels (none if that is the number of inputs), a
// depthwise convolution, and a 1x1 convolution to `outputs` channels. Input and output are added if
// they have the same shape.
struct LiteBlockLayout {
  int stage;  // 0-based
  int kernel;
  int stride;
  int64_t inputs;
  int64_t expanded;
  int64_t outputs;
};

// The blocks of the first `stages` stages, in order. variant: 0 .. kLiteVariants - 1
std::vector<LiteBlockLayout> LiteBlocks(int variant, int stages = kLiteStages);

// Channels of a stage's output.
int64_t LiteStageWidth(int variant, int stage);

}  // namespace proad::model
