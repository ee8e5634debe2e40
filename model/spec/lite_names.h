// The tensors of EfficientNet-Lite in files: the published state dicts, whose convolutions have
// batch norms, and this project's files, where the norms are folded.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <string>
#include <vector>

#include "model/spec/config.h"
#include "model/spec/wanted_tensor.h"

namespace proad::model {

// "lite." before the names of efficientnet_lite.h.
std::vector<WantedTensor> WantedByLite(const EncoderConfig& config);

// The names of the published state dicts (`_conv_stem`, `_blocks.0._depthwise_conv`). Official
// names: "<convolution>.weight" and "<convolution>.norm.{weight, bias, running_mean, running_var}",
// which FoldBatchNorms turns into those of WantedByLite.
std::vector<WantedTensor> WantedOfPublishedLite(const EncoderConfig& config);

// Whether a tensor that WantedOfPublishedLite does not name may be in a published file: a counter
// of batches, a later block, the head and the classifier.
bool IsExtraOfPublishedLite(const std::string& name, const EncoderConfig& config);

}  // namespace proad::model
