// An encoder whose weights no longer change, prepared for inference.
//
// Thread-safety: const after construction; Run may be called from several threads.
#pragma once

#include <torch/types.h>

#include <vector>

namespace proad::model {

class FrozenEncoder {
 public:
  virtual ~FrozenEncoder() = default;

  // The means of the groups of taps. The caller owns the tensors and may change them.
  // pixels: uint8 [B, H, W, 3] -> one [B, N, C] for each group
  virtual std::vector<torch::Tensor> Run(const torch::Tensor& pixels) const = 0;
};

}  // namespace proad::model
