// The probe of a version: a fixed image and the version's score of it. A server that loads the
// version checks that it still computes this score.
//
// Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/network/frozen_pro_ad.h"

namespace proad::model {

// The probe image as a PNG file. A formula makes it; it has edges, texture and many colours.
std::vector<uint8_t> ProbeImage();

// The score of an encoded image, computed as in serving: DecodeImage, Prepare, the frozen network.
// Throws InvalidInput (field "probe", reason PROBE_NOT_FINITE) if the score is not finite, and as
// DecodeImage.
double ProbeScore(const FrozenProAd& model, const Preprocessing& preprocessing,
                  std::span<const uint8_t> encoded);

}  // namespace proad::model
