// A linear layer whose weights no longer change, in the layout that is fastest where it runs.
//
// On a CPU that is oneDNN's blocked layout, chosen once here instead of by every call: on CPUs
// whose widest vectors MKL does not use it is more than twice as fast (model/README.md, "frozen").
// Elsewhere it is the plain product. Thread-safety: const after construction; calls may run in
// several threads at once.
#pragma once

#include <torch/types.h>

namespace proad::model {

// y = x W^T + b before it is packed; sums and products of weights are made in float64.
struct Affine {
  torch::Tensor weight;  // float64 [out, in]
  torch::Tensor bias;    // float64 [out]
};

class PackedLinear {
 public:
  enum class Activation { kNone, kGelu };  // kGelu is the exact one

  PackedLinear() = default;
  // On the device of `affine`, in float32.
  explicit PackedLinear(const Affine& affine, Activation activation = Activation::kNone);

  // x: float32 [..., in] -> [..., out]
  torch::Tensor operator()(const torch::Tensor& x) const;

 private:
  torch::Tensor weight_;  // packed, or [out, in]
  torch::Tensor bias_;
  Activation activation_ = Activation::kNone;
  bool packed_ = false;
};

}  // namespace proad::model
