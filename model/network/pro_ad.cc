#include "model/network/pro_ad.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "model/network/encoder_kinds.h"
#include "model/network/prototype_bank.h"

namespace proad::model {
namespace {

// Linear weights: a normal distribution of standard deviation kInitialDeviation, truncated at three
// of them; biases: 0. Norms and prototypes keep their values.
void Initialise(const std::string& name, torch::Tensor& parameter) {
  constexpr double kStd = kInitialDeviation;
  constexpr double kCut = 3.0;  // standard deviations
  const torch::NoGradGuard no_grad;
  if (name.ends_with("bias")) {
    parameter.zero_();
  } else if (parameter.dim() == 2 && name != "prototypes") {
    // The inverse cumulative distribution of a uniform variable over the part inside the cut.
    const double inside = std::erf(kCut / std::sqrt(2.0));
    parameter.uniform_(-inside, inside).erfinv_().mul_(kStd * std::sqrt(2.0));
    parameter.clamp_(-kCut * kStd, kCut * kStd);
  }
}

}  // namespace

std::vector<torch::Tensor> GroupMeans(const std::vector<torch::Tensor>& layers, int groups) {
  const int count = static_cast<int>(layers.size());
  TORCH_CHECK(groups > 0 && count > 0 && count % groups == 0, count,
              " layers cannot be divided into ", groups, " equal groups");
  std::vector<torch::Tensor> means;
  for (auto first = layers.begin(); first != layers.end(); first += count / groups) {
    means.push_back(at::stack(at::TensorList(&*first, count / groups)).mean(0));
  }
  return means;
}

ProAdImpl::ProAdImpl(const ModelConfig& config) : config_(config) {
  Validate(config);
  const int width = config.encoder.width;
  encoder = register_module("encoder", NewEncoder(config.encoder));
  for (torch::Tensor& parameter : encoder->parameters()) parameter.set_requires_grad(false);
  prototypes = register_parameter("prototypes", NewPrototypeBank(config.tokens(), width));
  if (config.adaptive_noisy_bottleneck) {
    bottleneck = register_module("bottleneck", Bottleneck(width));
  }
  decoder = register_module("decoder", torch::nn::ModuleList());
  for (int l = 0; l < config.decoder_layers; ++l) {
    decoder->push_back(DecoderLayer(DecoderLayerImpl::Options{
        width, config.encoder.heads, config.dynamic_decoder, config.prototype_constraint}));
  }
  for (auto& parameter : TrainableParameters()) Initialise(parameter.key(), parameter.value());
}

Reconstruction ProAdImpl::forward(const torch::Tensor& images) {
  return Reconstruct(Encode(images));
}

std::vector<torch::Tensor> ProAdImpl::Encode(const torch::Tensor& images) {
  TORCH_CHECK(images.dim() == 4 && images.size(2) == config_.input_height &&
                  images.size(3) == config_.input_width,
              "images must be [B, 3, ", config_.input_height, ", ", config_.input_width, "], got ",
              images.sizes());
  torch::NoGradGuard no_grad;
  return GroupMeans(encoder(images), config_.groups);
}

Reconstruction ProAdImpl::Reconstruct(const std::vector<torch::Tensor>& tap_groups) {
  TORCH_CHECK(static_cast<int>(tap_groups.size()) == config_.groups, "expected ", config_.groups,
              " groups of taps, got ", tap_groups.size());
  const torch::Tensor fused = at::stack(tap_groups).mean(0);  // F [B, N, C]
  TORCH_CHECK(fused.dim() == 3, "a group of taps must be [B, N, C], got ", tap_groups[0].sizes());
  DecoderState state{BankTokens(prototypes, fused.size(1), fused.size(2)), fused};
  if (config_.adaptive_noisy_bottleneck) {
    state = {bottleneck->Prototypes(state.prototypes),  // eq. 2: P_0
             bottleneck->Image(fused)};                 // eq. 1: Q_0
  }
  std::vector<torch::Tensor> outputs;
  for (int l = 0; l < config_.decoder_layers; ++l) {
    state = decoder->at<DecoderLayerImpl>(l).forward(state);
    outputs.push_back(state.image);  // f_l
  }
  // Reversed: the last decoder layer reconstructs the first taps.
  std::reverse(outputs.begin(), outputs.end());

  Reconstruction result;
  for (const torch::Tensor& group : tap_groups) result.encoder_groups.push_back(Patches(group));
  for (const torch::Tensor& group : GroupMeans(outputs, config_.groups)) {
    result.decoder_groups.push_back(Patches(group));
  }
  return result;
}

torch::Tensor ProAdImpl::Patches(const torch::Tensor& tokens) const {
  const int64_t prefix = config_.prefix_tokens();
  return tokens.narrow(1, prefix, tokens.size(1) - prefix)
      .unflatten(1, {config_.grid_height(), config_.grid_width()});
}

void ProAdImpl::set_dropout(double p, const BatchShare& share) {
  if (!bottleneck.is_empty()) bottleneck->set_dropout(p, share);
}

void ProAdImpl::set_distance_levels(std::vector<double> levels) {
  ModelConfig config = config_;
  config.distance.levels = std::move(levels);
  Validate(config);
  config_ = std::move(config);
}

torch::OrderedDict<std::string, torch::Tensor> ProAdImpl::TrainableParameters() const {
  torch::OrderedDict<std::string, torch::Tensor> trainable;
  for (const auto& parameter : named_parameters()) {
    if (!parameter.key().starts_with("encoder."))
      trainable.insert(parameter.key(), parameter.value());
  }
  return trainable;
}

}  // namespace proad::model
