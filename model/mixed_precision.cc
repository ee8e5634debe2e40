#include "model/mixed_precision.h"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>

#include "model/error.h"

namespace proad::model {

MixedPrecision::MixedPrecision(Precision precision, const c10::Device& device)
    : device_(device.type()), on_(precision == Precision::kBf16) {
  if (!on_) return;
  at::autocast::set_autocast_dtype(device_, at::kBFloat16);
  at::autocast::set_autocast_enabled(device_, true);
}

MixedPrecision::~MixedPrecision() {
  if (!on_) return;
  at::autocast::set_autocast_enabled(device_, false);
  at::autocast::clear_cache();
}

void CheckPrecision(Precision precision, const c10::Device& device, const std::string& field) {
  if (precision != Precision::kTf32 || device.is_cuda()) return;
  throw InvalidInput(
      field, "PRECISION_UNSUPPORTED",
      field + " tf32 needs a CUDA device, and the job runs on " + device.str() + "; use fp32");
}

}  // namespace proad::model
