// Arithmetic of a training step.
//
// Affects the thread that it lives on, while it lives; how a CPU computes attention, all threads.
#pragma once

#include <c10/core/Device.h>

#include <string>

#include "model/spec/recipe.h"

namespace proad::model {

// Matrix products, convolutions and attention in bfloat16 where the precision says so; weights stay
// as they are.
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

// Throws InvalidInput (field `field`, PRECISION_UNSUPPORTED) where the device cannot compute so.
void CheckPrecision(Precision precision, const c10::Device& device, const std::string& field);

}  // namespace proad::model
