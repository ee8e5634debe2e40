// The arithmetic of a training step, for the lifetime of an object.
//
// Affects the thread that creates it. Exception: the CPU's attention kernel changes for all
// threads.
#pragma once

#include <c10/core/Device.h>

#include <string>

#include "model/spec/recipe.h"

namespace proad::model {

// With kBf16: matrix products, convolutions and attention in bfloat16. Weights keep their type.
class MixedPrecision {
 public:
  MixedPrecision(Precision precision, const c10::Device& device);
  ~MixedPrecision();
  MixedPrecision(const MixedPrecision&) = delete;
  MixedPrecision& operator=(const MixedPrecision&) = delete;

 private:
  const c10::DeviceType device_;
  const bool on_;
  const bool fused_before_;
  const bool reduced_before_;
};

// Throws InvalidInput (field `field`, PRECISION_UNSUPPORTED) if the device does not support it.
void CheckPrecision(Precision precision, const c10::Device& device, const std::string& field);

}  // namespace proad::model
