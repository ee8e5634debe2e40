#include "model/network/batch_norm_folding.h"

#include <ATen/ATen.h>

#include <string_view>
#include <vector>

namespace proad::model {

void FoldBatchNorms(std::map<std::string, torch::Tensor>& tensors, double eps) {
  constexpr std::string_view kMark = ".norm.running_var";
  std::vector<std::string> convolutions;
  for (const auto& [name, unused] : tensors) {
    if (name.ends_with(kMark)) convolutions.push_back(name.substr(0, name.size() - kMark.size()));
  }
  for (const std::string& name : convolutions) {
    const auto take = [&](const char* part) {
      const auto node = tensors.extract(name + ".norm." + part);
      return node.mapped().to(at::kDouble);
    };
    const torch::Tensor mean = take("running_mean");
    const torch::Tensor factor = take("weight") / (take("running_var") + eps).sqrt();
    torch::Tensor& weight = tensors.at(name + ".weight");
    tensors[name + ".bias"] = (take("bias") - mean * factor).to(at::kFloat);
    weight = (weight.to(at::kDouble) * factor.view({-1, 1, 1, 1})).to(at::kFloat);
  }
}

}  // namespace proad::model
