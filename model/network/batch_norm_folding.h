// Batch norms with fixed statistics, folded into the convolutions before them.
//
// Pure function; safe to call from any thread.
#pragma once

#include <torch/types.h>

#include <map>
#include <string>

namespace proad::model {

// Replaces the tensors X.norm.{weight, bias, running_mean, running_var} and X.weight of each
// convolution X by X.weight and X.bias of a convolution that also normalises. Computes in float64;
// the results are float32. eps: added to the variance.
void FoldBatchNorms(std::map<std::string, torch::Tensor>& tensors, double eps);

}  // namespace proad::model
