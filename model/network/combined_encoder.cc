#include "model/network/combined_encoder.h"

#include <ATen/ATen.h>

#include "model/network/frozen_vision_transformer.h"
#include "model/network/lite_tokens.h"
#include "model/network/pro_ad.h"

namespace proad::model {
namespace {

// The configuration of the transformer alone.
EncoderConfig TransformerOf(const EncoderConfig& config) {
  EncoderConfig transformer = config;
  transformer.kind = EncoderKind::kVisionTransformer;
  transformer.lite = {};
  transformer.group_levels.clear();
  transformer.group_centering.clear();
  return transformer;
}

// From bytes to the transformer's input: `images`, which makes 0..1 of bytes, and then ImageNet's
// mean and deviation.
Preprocessing OfTransformer(const Preprocessing& images) {
  Preprocessing all;
  for (size_t c = 0; c < all.mean.size(); ++c) {
    all.mean[c] = images.mean[c] + images.std[c] * all.mean[c];
    all.std[c] *= images.std[c];
  }
  return all;
}

// The transformer's groups without class token and registers, followed by those of the other
// network. -> scaled groups
std::vector<torch::Tensor> Join(const EncoderConfig& config,
                                const std::vector<torch::Tensor>& of_transformer,
                                const std::vector<torch::Tensor>& of_lite) {
  const int64_t prefix = TransformerOf(config).prefix_tokens();
  std::vector<torch::Tensor> groups;
  for (const torch::Tensor& group : of_transformer) {
    groups.push_back(group.narrow(1, prefix, group.size(1) - prefix));
  }
  groups.insert(groups.end(), of_lite.begin(), of_lite.end());
  return ScaleGroups(config, groups);
}

struct FrozenCombinedEncoder : FrozenEncoder {
  FrozenCombinedEncoder(const CombinedEncoderImpl& encoder, const ModelConfig& of,
                        const Preprocessing& of_pixels)
      : config(of.encoder),
        preprocessing(of_pixels),
        lite(of.encoder.lite.variant, of.encoder.lite.last_stage() + 1) {
    ModelConfig of_transformer = of;
    of_transformer.encoder = TransformerOf(config);
    of_transformer.groups = config.transformer_groups();
    transformer =
        FreezeVisionTransformer(*encoder.transformer, of_transformer, OfTransformer(preprocessing));
    CopyParameters(*encoder.lite, *lite);
  }

  std::vector<torch::Tensor> Run(const torch::Tensor& pixels) const override {
    return Join(config, transformer->Run(pixels),
                LiteGroups(lite, config, Normalize(pixels, preprocessing)));
  }

  EncoderConfig config;
  Preprocessing preprocessing;
  std::unique_ptr<const FrozenEncoder> transformer;
  EfficientNetLite lite;
};

}  // namespace

CombinedEncoderImpl::CombinedEncoderImpl(const EncoderConfig& config) : EncoderImpl(config) {
  transformer = register_module("transformer", VisionTransformer(TransformerOf(config)));
  lite =
      register_module("lite", EfficientNetLite(config.lite.variant, config.lite.last_stage() + 1));
}

std::vector<torch::Tensor> CombinedEncoderImpl::forward(const torch::Tensor& images) {
  const std::vector<torch::Tensor> taps = transformer(Standardize(images, {}));  // ImageNet's
  return Join(config(), GroupMeans(taps, config().transformer_groups()),
              LiteGroups(lite, config(), images));
}

std::unique_ptr<const FrozenEncoder> FreezeCombinedEncoder(const EncoderImpl& encoder,
                                                           const ModelConfig& config,
                                                           const Preprocessing& preprocessing) {
  return std::make_unique<FrozenCombinedEncoder>(dynamic_cast<const CombinedEncoderImpl&>(encoder),
                                                 config, preprocessing);
}

}  // namespace proad::model
