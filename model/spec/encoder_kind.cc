#include "model/spec/encoder_kind.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "model/files/error.h"
#include "model/files/text.h"

namespace proad::model {
namespace {

constexpr EncoderKindTraits kKinds[] = {
    {EncoderKind::kVisionTransformer, "vision_transformer", "vision transformer", true, false, 1},
    // The pyramid halves its input four times, so one patch would leave nothing.
    {EncoderKind::kPatchPyramid, "patch_pyramid", "patch pyramid", false, false, 2},
    {EncoderKind::kEfficientNetLite, "efficientnet_lite", "EfficientNet-Lite", false, true, 1},
    {EncoderKind::kCombined, "combined", "combined encoder", true, true, 1},
};

}  // namespace

std::span<const EncoderKindTraits> EncoderKinds() { return kKinds; }

const EncoderKindTraits& TraitsOf(EncoderKind kind) {
  return *std::find_if(std::begin(kKinds), std::end(kKinds),
                       [&](const EncoderKindTraits& traits) { return traits.kind == kind; });
}

const char* NameOf(EncoderKind kind) { return TraitsOf(kind).name; }

EncoderKind ParseEncoderKind(std::string_view name) {
  std::string known;
  for (const EncoderKindTraits& traits : kKinds) {
    if (name == traits.name) return traits.kind;
    known += (known.empty() ? "" : ", ") + std::string(traits.name);
  }
  throw InvalidInput("kind", "ENCODER_KIND_UNKNOWN",
                     "kind " + Quote(name) + " is unknown; known kinds are " + known);
}

}  // namespace proad::model
