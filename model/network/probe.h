// The probe of a version: a fixed picture and the score that the version gave it, so that whoever
// loads the version can tell that it still computes what it computed when it was made.
//
// Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/network/frozen_pro_ad.h"

namespace proad::model {

// The picture that imported versions are probed with, as a PNG file: made by a formula, with edges,
// texture and every colour in it.
std::vector<uint8_t> ProbePicture();

// Score of an encoded picture, by the same road as serving takes: DecodeImage, Prepare, the frozen
// network. Throws InvalidInput (field "probe", reason PROBE_NOT_FINITE) when the score is not
// finite, and what DecodeImage throws.
double ProbeScore(const FrozenProAd& model, const Preprocessing& preprocessing,
                  std::span<const uint8_t> encoded);

}  // namespace proad::model
