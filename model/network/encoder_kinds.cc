#include "model/network/encoder_kinds.h"

#include <ATen/ATen.h>

#include "model/network/combined_encoder.h"
#include "model/network/frozen_vision_transformer.h"
#include "model/network/lite_encoder.h"
#include "model/network/patch_pyramid.h"
#include "model/network/vision_transformer.h"

namespace proad::model {
namespace {

struct Row {
  EncoderKind kind;
  Encoder (*make)(const EncoderConfig& config);
  std::unique_ptr<const FrozenEncoder> (*freeze)(const EncoderImpl& encoder,
                                                 const ModelConfig& config,
                                                 const Preprocessing& preprocessing);
};

template <typename Module>
Encoder Make(const EncoderConfig& config) {
  return Encoder(std::static_pointer_cast<EncoderImpl>(Module(config).ptr()));
}

constexpr Row kRows[] = {
    {EncoderKind::kVisionTransformer, Make<VisionTransformer>, FreezeVisionTransformer},
    {EncoderKind::kPatchPyramid, Make<PatchPyramid>, FreezePatchPyramid},
    {EncoderKind::kEfficientNetLite, Make<LiteEncoder>, FreezeLiteEncoder},
    {EncoderKind::kCombined, Make<CombinedEncoder>, FreezeCombinedEncoder},
};

const Row& RowOf(EncoderKind kind) {
  for (const Row& row : kRows) {
    if (row.kind == kind) return row;
  }
  TORCH_CHECK(false, "encoder kind ", NameOf(kind), " has no row in encoder_kinds.cc");
}

}  // namespace

Encoder NewEncoder(const EncoderConfig& config) { return RowOf(config.kind).make(config); }

std::unique_ptr<const FrozenEncoder> FreezeEncoder(const EncoderImpl& encoder,
                                                   const ModelConfig& config,
                                                   const Preprocessing& preprocessing) {
  return RowOf(config.encoder.kind).freeze(encoder, config, preprocessing);
}

}  // namespace proad::model
