// A Pro-AD whose weights no longer change: the same function as ProAd in evaluation mode. Constant
// terms are computed once and unused products are left out (model/README.md, "frozen"). Serving and
// evaluation use it.
//
// Thread-safety: const after construction; Forward and Detect may run in several threads.
#pragma once

#include <torch/types.h>

#include <memory>

#include "model/network/anomaly_map.h"
#include "model/network/pro_ad.h"
#include "model/picture/preprocess.h"
#include "model/spec/config.h"

namespace proad::model {

// Scores and maps of a batch, on the model's device.
struct Scored {
  torch::Tensor scores;  // [B]
  torch::Tensor maps;    // [B, 256, 256]
};

class FrozenProAd {
 public:
  // Copies the weights to the model's device; `model` may be changed or destroyed afterwards.
  FrozenProAd(const ProAd& model, const Preprocessing& preprocessing);
  ~FrozenProAd();
  FrozenProAd(FrozenProAd&&) noexcept;
  FrozenProAd& operator=(FrozenProAd&&) noexcept;

  // pixels: uint8 [B, H, W, 3], RGB, of the configured size, on any device.
  Reconstruction Forward(const torch::Tensor& pixels) const;
  Scored Detect(const torch::Tensor& pixels) const;

  const ModelConfig& config() const;
  torch::Device device() const;

 private:
  struct Weights;
  std::unique_ptr<const Weights> weights_;
};

}  // namespace proad::model
