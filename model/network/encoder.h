// The frozen encoder: a pretrained network that describes each patch of an image.
//
// encoder_kinds.h has the table of its kinds. Parameters have the names of the encoder's file.
// Thread-safety: forward may be called from several threads while no parameter changes.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <vector>

#include "model/picture/preprocess.h"
#include "model/spec/config.h"

namespace proad::model {

// (x / 255 - mean) / std on the device of `pixels`.
// pixels: uint8 [B, H, W, 3] -> float [B, 3, H, W]
torch::Tensor Normalize(const torch::Tensor& pixels, const Preprocessing& preprocessing);

// (x - mean) / std, for images in 0..1. images: float [B, 3, H, W] -> the same shape
torch::Tensor Standardize(const torch::Tensor& images, const Preprocessing& preprocessing);

// Copies the parameters of `from` to `to`, a module of the same structure, and moves `to` to their
// device.
void CopyParameters(const torch::nn::Module& from, torch::nn::Module& to);

class EncoderImpl : public torch::nn::Module {
 public:
  // The taps, in the order of config.taps, or the groups of a kind with stages. images: normalised float [B, 3, H, W], sides multiples
  // of the patch -> taps of [B, N, C]; config().prefix_tokens() of the N come before the patches
  virtual std::vector<torch::Tensor> forward(const torch::Tensor& images) = 0;

  const EncoderConfig& config() const { return config_; }

 protected:
  explicit EncoderImpl(const EncoderConfig& config) : config_(config) {}

 private:
  EncoderConfig config_;
};
TORCH_MODULE(Encoder);

}  // namespace proad::model
