#include "model/training/mixed_precision.h"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>

#include "model/files/error.h"

namespace proad::model {

MixedPrecision::MixedPrecision(Precision precision, const c10::Device& device)
    : device_(device.type()),
      on_(precision == Precision::kBf16),
      fused_before_(at::globalContext().userEnabledFlashSDP()),
      reduced_before_(at::globalContext().allowFP16BF16ReductionMathSDP()) {
  if (!on_) return;
  if (device_ == c10::DeviceType::CPU) {
    // LibTorch's fused attention uses MKL, which computes bfloat16 products in float32 on CPUs that
    // are not Intel's, at a tenth of oneDNN's speed. The unfused attention uses oneDNN.
    at::globalContext().setSDPUseFlash(false);
    at::globalContext().setAllowFP16BF16ReductionMathSDP(true);
  }
  at::autocast::set_autocast_dtype(device_, at::kBFloat16);
  at::autocast::set_autocast_enabled(device_, true);
}

MixedPrecision::~MixedPrecision() {
  if (!on_) return;
  at::globalContext().setSDPUseFlash(fused_before_);
  at::globalContext().setAllowFP16BF16ReductionMathSDP(reduced_before_);
  at::autocast::set_autocast_enabled(device_, false);
  at::autocast::clear_cache();
}

void CheckPrecision(Precision precision, const c10::Device& device, const std::string& field) {
  if (precision != Precision::kTf32 || device.is_cuda()) return;
  throw InvalidInput(
      field, "PRECISION_UNSUPPORTED",
      field + " tf32 needs a CUDA device, but the job runs on " + device.str() + "; use fp32");
}

}  // namespace proad::model
