#include "model/network/lite_encoder.h"

#include <ATen/ATen.h>

#include "model/network/lite_tokens.h"

namespace proad::model {
namespace {

struct FrozenLiteEncoder : FrozenEncoder {
  FrozenLiteEncoder(const LiteEncoderImpl& encoder, const Preprocessing& of_pixels)
      : network(encoder.config()), preprocessing(of_pixels) {
    CopyParameters(encoder, *network);
  }

  std::vector<torch::Tensor> Run(const torch::Tensor& pixels) const override {
    return LiteEncoder(network)->forward(Normalize(pixels, preprocessing));
  }

  LiteEncoder network;
  Preprocessing preprocessing;
};

}  // namespace

LiteEncoderImpl::LiteEncoderImpl(const EncoderConfig& config) : EncoderImpl(config) {
  lite =
      register_module("lite", EfficientNetLite(config.lite.variant, config.lite.last_stage() + 1));
}

std::vector<torch::Tensor> LiteEncoderImpl::forward(const torch::Tensor& images) {
  return ScaleGroups(config(), LiteGroups(lite, config(), images));
}

std::unique_ptr<const FrozenEncoder> FreezeLiteEncoder(const EncoderImpl& encoder,
                                                       const ModelConfig& /*config*/,
                                                       const Preprocessing& preprocessing) {
  return std::make_unique<FrozenLiteEncoder>(dynamic_cast<const LiteEncoderImpl&>(encoder),
                                             preprocessing);
}

}  // namespace proad::model
