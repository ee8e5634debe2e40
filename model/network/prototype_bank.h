// The prototype bank P (paper, section 3.2): one learnable token for each token of the encoder,
// including class and register tokens. A checkpoint therefore has one input size.
//
// Pure functions; safe to call from any thread.
#pragma once

#include <torch/types.h>

namespace proad::model {

// A new bank, drawn from N(0, 1). -> [N, C]
torch::Tensor NewPrototypeBank(int tokens, int width);

// The bank as the tokens of a batch of one. prototypes: [N, C] -> [1, N, C]
// Throws c10::Error with both shapes if the bank has another number of tokens than `tokens`.
torch::Tensor BankTokens(const torch::Tensor& prototypes, int64_t tokens, int64_t width);

}  // namespace proad::model
