#include "model/network/prototype_bank.h"

#include <ATen/ATen.h>

namespace proad::model {

torch::Tensor NewPrototypeBank(int tokens, int width) { return torch::randn({tokens, width}); }

torch::Tensor BankTokens(const torch::Tensor& prototypes, int64_t tokens, int64_t width) {
  TORCH_CHECK(prototypes.dim() == 2 && prototypes.size(0) == tokens && prototypes.size(1) == width,
              "the prototype bank is ", prototypes.sizes(), ", but the input has ", tokens,
              " tokens of width ", width, "; a bank fits one input size only");
  return prototypes.unsqueeze(0);
}

}  // namespace proad::model
