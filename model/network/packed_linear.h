// A linear layer with constant weights, in the fastest layout of its device.
//
// On a CPU this is oneDNN's blocked layout, packed once at construction. On CPUs whose widest
// vectors MKL does not use it is more than twice as fast (model/README.md, "frozen"). On other
// devices it is the plain product. Thread-safety: const after construction; calls may run in
// several threads.
#pragma once

#include <torch/types.h>

namespace proad::model {

// y = x W^T + b before packing; weights are folded in float64.
struct Affine {
  torch::Tensor weight;  // float64 [out, in]
  torch::Tensor bias;    // float64 [out]
};

class PackedLinear {
 public:
  enum class Activation { kNone, kGelu };  // kGelu: exact (erf)

  PackedLinear() = default;
  // In float32, on the device of `affine`.
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
