// The prototype bank P (section 3.2): learnable tokens, one for every token of the encoder, class
// and registers among them. Its size ties a checkpoint to one input size.
#pragma once

#include <torch/types.h>

namespace proad::model {

// A new bank from N(0, 1). -> [N, C]
torch::Tensor NewPrototypeBank(int tokens, int width);

// The bank as one image's worth of tokens, shared by the batch. prototypes: [N, C] -> [1, N, C]
// Fails, naming both shapes, where the bank was made for another number of tokens than `tokens`.
torch::Tensor BankTokens(const torch::Tensor& prototypes, int64_t tokens, int64_t width);

}  // namespace proad::model
