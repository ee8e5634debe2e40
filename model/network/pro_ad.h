// The Pro-AD network (section 3): a frozen encoder, and the bottleneck, prototypes and decoder that
// learn to rebuild its features of good parts.
//
// This is the network as the paper writes it, for training and as the reference; frozen_pro_ad.h
// computes the same with less arithmetic. Submodule names are the checkpoint's key names, the
// encoder's under "encoder.". Thread-safety: the const-like calls (forward, Encode, Reconstruct)
// may run in several threads while no parameter, mode or device changes.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>
#include <torch/ordered_dict.h>
#include <torch/types.h>

#include <string>
#include <vector>

#include "model/network/bottleneck.h"
#include "model/network/decoder.h"
#include "model/network/encoder.h"
#include "model/spec/config.h"

namespace proad::model {

// Deviation of the weights that training starts from.
inline constexpr double kInitialDeviation = 0.01;

// What the encoder saw and what the decoder rebuilt, patch by patch; their distance is the anomaly.
struct Reconstruction {
  std::vector<torch::Tensor> encoder_groups;  // E_g [B, h, w, C], shallow layers first
  std::vector<torch::Tensor> decoder_groups;  // D_g [B, h, w, C], in the same order
};

class ProAdImpl : public torch::nn::Module {
 public:
  // Weights as training starts from them. Throws InvalidInput where `config` is impossible.
  explicit ProAdImpl(const ModelConfig& config);

  // Reconstruct(Encode(images)). images: normalised float [B, 3, H, W], H and W those of the
  // configuration.
  Reconstruction forward(const torch::Tensor& images);

  // The means of config.groups equal, consecutive groups of the encoder's taps, all tokens. Records
  // no gradient. images: [B, 3, H, W] -> groups of [B, N, C]
  std::vector<torch::Tensor> Encode(const torch::Tensor& images);

  // Everything that is trained. tap_groups: from Encode, or from a cache of it.
  Reconstruction Reconstruct(const std::vector<torch::Tensor>& tap_groups);

  // Of the noisy bottleneck, in training only; 0 <= p < 1. `share`: which rows of a batch that
  // several processes train on this one gets.
  void set_dropout(double p, const BatchShare& share = {});

  // Names are those of the checkpoint's model.safetensors; the encoder's parameters are not among
  // them.
  torch::OrderedDict<std::string, torch::Tensor> TrainableParameters() const;

  const ModelConfig& config() const { return config_; }

  Encoder encoder{nullptr};
  torch::Tensor prototypes;                // P [N, C]
  Bottleneck bottleneck{nullptr};          // stays null without adaptive_noisy_bottleneck
  torch::nn::ModuleList decoder{nullptr};  // of DecoderLayer

 private:
  torch::Tensor Patches(const torch::Tensor& tokens) const;

  ModelConfig config_;
};
TORCH_MODULE(ProAd);

// Means of `groups` equal, consecutive runs of `layers`. layers: each [B, N, C] -> groups of [B, N,
// C]
std::vector<torch::Tensor> GroupMeans(const std::vector<torch::Tensor>& layers, int groups);

}  // namespace proad::model
