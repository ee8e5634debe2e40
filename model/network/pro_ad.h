// The Pro-AD network (paper, section 3): a frozen encoder, and a trainable bottleneck, prototype
// bank and decoder that reconstruct the encoder's features of good parts.
//
// forward follows the paper's equations; training and tests use it. FrozenProAd computes the same
// function with less arithmetic. Submodule names are the checkpoint's key names; the encoder's
// begin with "encoder.". Thread-safety: forward, Encode and Reconstruct may run in several threads
// while no parameter, mode or device changes.
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

// Standard deviation of the initial linear weights.
inline constexpr double kInitialDeviation = 0.01;

// Encoder features and their reconstruction by the decoder, per patch. Their cosine distance is the
// anomaly.
struct Reconstruction {
  std::vector<torch::Tensor> encoder_groups;  // E_g [B, h, w, C]; shallow layers first
  std::vector<torch::Tensor> decoder_groups;  // D_g [B, h, w, C], in the same order
};

class ProAdImpl : public torch::nn::Module {
 public:
  // Initialises the weights for training. Throws InvalidInput for an invalid `config`.
  explicit ProAdImpl(const ModelConfig& config);

  // Reconstruct(Encode(images)). images: normalised float [B, 3, H, W] of the configured size.
  Reconstruction forward(const torch::Tensor& images);

  // Means of the encoder's taps over config.groups equal, consecutive groups, with all tokens.
  // Records no gradient. images: [B, 3, H, W] -> groups of [B, N, C]
  std::vector<torch::Tensor> Encode(const torch::Tensor& images);

  // The trainable part, eq. 1 to 9. tap_groups: from Encode or from a FeatureCache, each [B, N, C]
  Reconstruction Reconstruct(const std::vector<torch::Tensor>& tap_groups);

  // Dropout rate of the noisy bottleneck in training, 0 <= p < 1. `share`: the rows of the batch
  // that this process computes when several processes train.
  void set_dropout(double p, const BatchShare& share = {});

  // All parameters except the encoder's, named as in the checkpoint's model.safetensors.
  torch::OrderedDict<std::string, torch::Tensor> TrainableParameters() const;

  const ModelConfig& config() const { return config_; }

  // The levels of config().distance, one for each group, which training measures.
  void set_distance_levels(std::vector<double> levels);

  Encoder encoder{nullptr};
  torch::Tensor prototypes;                // P [N, C]
  Bottleneck bottleneck{nullptr};          // null without adaptive_noisy_bottleneck
  torch::nn::ModuleList decoder{nullptr};  // of DecoderLayer

 private:
  torch::Tensor Patches(const torch::Tensor& tokens) const;

  ModelConfig config_;
};
TORCH_MODULE(ProAd);

// Means over `groups` equal, consecutive groups of `layers`.
// layers: each [B, N, C] -> groups of [B, N, C]
std::vector<torch::Tensor> GroupMeans(const std::vector<torch::Tensor>& layers, int groups);

}  // namespace proad::model
