#include "model/network/packed_linear.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <string_view>

namespace proad::model {
namespace {

// oneDNN takes an expected number of rows; the layout is the same for 1, 789 and 3156.
constexpr int64_t kTypicalRows = 512;

using OneDnnPack = at::Tensor(const at::Tensor&, std::optional<c10::SymInt>);
using OneDnnLinear = at::Tensor(const at::Tensor&, const at::Tensor&,
                                const std::optional<at::Tensor>&, std::string_view,
                                c10::List<std::optional<at::Scalar>>,
                                std::optional<std::string_view>);

// LibTorch has these operators without a C++ declaration; torch.compile calls them by these names.
template <typename Signature>
c10::TypedOperatorHandle<Signature> Operator(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

bool CanPack(const torch::Tensor& weight) {
  return weight.is_cpu() && at::globalContext().hasMKLDNN() &&
         at::globalContext().userEnabledMkldnn() &&
         c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""}).has_value();
}

}  // namespace

PackedLinear::PackedLinear(const Affine& affine, Activation activation)
    : weight_(affine.weight.to(torch::kFloat32).contiguous()),
      bias_(affine.bias.to(torch::kFloat32).contiguous()),
      activation_(activation),
      packed_(CanPack(weight_)) {
  if (!packed_) return;
  static const auto pack = Operator<OneDnnPack>("mkldnn::_reorder_linear_weight");
  const std::optional<c10::SymInt> rows{c10::SymInt{kTypicalRows}};
  weight_ = pack.call(weight_, rows);
}

torch::Tensor PackedLinear::operator()(const torch::Tensor& x) const {
  const bool gelu = activation_ == Activation::kGelu;
  if (!packed_) {
    torch::Tensor y = at::linear(x, weight_, bias_);
    return gelu ? at::gelu_(y) : y;
  }
  static const auto linear = Operator<OneDnnLinear>("mkldnn::_linear_pointwise");
  const c10::List<std::optional<at::Scalar>> no_parameters;
  return linear.call(x, weight_, bias_, gelu ? "gelu" : "none", no_parameters, gelu ? "none" : "");
}

}  // namespace proad::model
